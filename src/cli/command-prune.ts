/** `lbs prune`: forget, clean, perhaps compact, and gc, with the options and the words of each. */
import { EXIT, LbsError } from '../errors.ts';
import type { CompactOptions, CompactSummary } from '../maintain/compact-options.ts';
import { wholeRules } from '../maintain/retention.ts';
import type { Report } from '../report.ts';
import { cleaningSaid, minUsedOf } from './command-clean.ts';
import { rulesOf, writeDecisions, writeDecisionsJson } from './command-forget.ts';
import { compactOptionsOf, compactingSaid } from './command-compact.ts';
import { collectionSaid, graceOf } from './command-gc.ts';
import type { CommandInput } from './command.ts';
import { openReport } from './open-report.ts';
import { present, readOptionsOf, refuseOperands } from './store-flags.ts';
import { signingOf } from './storing-flags.ts';

/** Prunes; 0 when all of it is done, 4 when a snapshot that stays needs what is not there. */
export async function runPrune(input: CommandInput): Promise<number> {
  const { flags, outputs } = input;
  const { out } = outputs;
  const report = openReport('prune', flags, outputs);
  try {
    const reading = readOptionsOf(input, 'lbs prune --store=/mnt/backup --keep-daily=14');
    refuseOperands(flags, 0, 'prune --store=STORE --keep-...=N');
    const rules = wholeRules(rulesOf(flags));
    const common = { ...reading, dryRun: flags.isOn('dry-run') };
    const local = present({ localdb: flags.text('localdb') });
    const [minUsed, graceS] = [minUsedOf(flags), graceOf(flags)];
    const { forget } = await import('../maintain/forget.ts');
    const forgotten = await forget({
      ...common,
      ...local,
      ...signingOf(flags),
      rules,
      report: report.report,
    });
    if (flags.isOn('json')) writeDecisionsJson(forgotten, out);
    else if (!flags.isOn('quiet') || common.dryRun) writeDecisions(forgotten, out);
    // In a dry run they are still there.
    const without = new Set(
      forgotten.decisions.filter(({ isKept }) => !isKept).map(({ name }) => name),
    );
    const { clean } = await import('../maintain/clean.ts');
    const cleaning = cleaningSaid(flags, out);
    const givenUp = new Set<string>();
    const onSegment: typeof cleaning.onSegment = (segment) => {
      givenUp.add(segment.file);
      cleaning.onSegment(segment);
    };
    try {
      cleaning.done(
        await clean({ ...common, ...local, ...present({ minUsed }), without, onSegment }),
      );
    } catch (error) {
      // A machine that only looks after the store has none, and nothing to clean.
      if (!(error instanceof LbsError && error.code === 'localdb-missing')) throw error;
    }
    const compacted = flags.isOn('compact')
      ? await compactNow(input, report.report, { without, givenUp })
      : undefined;
    if (common.dryRun) for (const { oldName } of compacted?.snapshots ?? []) without.add(oldName);
    const { needed, damaged = 0 } = compacted ?? {};
    const { collect } = await import('../maintain/collect.ts');
    const collection = collectionSaid(flags, out);
    const said = { onFile: collection.onFile, report: report.report };
    const summary = await collect({
      ...common,
      ...local,
      ...present({ graceS, needed }),
      without,
      ...said,
    });
    collection.done(summary);
    return damaged + summary.damaged > 0 ? EXIT.damaged : EXIT.done;
  } finally {
    report.close();
  }
}

async function compactNow(
  input: CommandInput,
  report: Report,
  before: Pick<CompactOptions, 'without' | 'givenUp'>,
): Promise<CompactSummary> {
  const { compact } = await import('../maintain/compact.ts');
  const { onSegment, onSnapshot, done } = compactingSaid(input.flags, input.outputs.out);
  const options = compactOptionsOf(input, report);
  const summary = await compact({ ...options, ...before, onSegment, onSnapshot });
  done(summary);
  return summary;
}
