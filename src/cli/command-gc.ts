/** `lbs gc`: removes what no snapshot needs, and says what. */
import { EXIT, LbsError } from '../errors.ts';
import type { CollectSummary, CollectedFile } from '../maintain/collect.ts';
import { parseDuration, secondsOf } from '../maintain/retention.ts';
import { showText } from '../std/byte-path.ts';
import { humanCount, humanSize } from '../std/human-size.ts';
import type { CommandInput } from './command.ts';
import type { FlagValues } from './flag-values.ts';
import { openReport, verbosityOf } from './open-report.ts';
import type { Output } from './output.ts';
import { present, readOptionsOf, refuseOperands } from './store-flags.ts';

/** @throws {LbsError} usage */
export function graceOf(flags: FlagValues): number | undefined {
  const text = flags.text('grace');
  if (text === undefined) return undefined;
  const seconds = /^(\d{1,9})s$/.exec(text)?.[1];
  if (seconds !== undefined) return Number(seconds);
  const duration = parseDuration(text);
  if (duration !== undefined) return secondsOf(duration);
  throw new LbsError('usage', `--grace=${JSON.stringify(text)} is not a duration`, {
    hint: 'write days and hours, as in 1d12h, or seconds, as in 90s',
  });
}

/** What happens to a file, in words of a plan or of what was done. */
function wordsOf(step: CollectedFile['step'], isDryRun: boolean): string {
  if (step === 'condemned') return isDryRun ? 'would be listed for removal' : 'listed for removal';
  return isDryRun ? 'would be removed' : 'removed';
}

function collectLines(summary: CollectSummary): string[] {
  const { dryRun, removed, removedBytes, condemned, condemnedBytes, young } = summary;
  const files = (count: number) => `${humanCount(count)} ${count === 1 ? 'file' : 'files'}`;
  const lines = [`${files(removed)} ${wordsOf('removed', dryRun)}, ${humanSize(removedBytes)}`];
  if (condemned > 0) {
    const words = wordsOf('condemned', dryRun);
    lines.push(
      `${files(condemned)} ${words}, ${humanSize(condemnedBytes)}: a run after the grace period removes them`,
    );
  }
  if (young > 0) lines.push(`${files(young)} that no snapshot needs came too lately to be touched`);
  return lines;
}

/** How a collection is told of. */
export function collectionSaid(
  flags: FlagValues,
  out: Output,
): { onFile: (file: CollectedFile) => void; done: (summary: CollectSummary) => void } {
  const isDryRun = flags.isOn('dry-run');
  const isJson = flags.isOn('json');
  const verbosity = verbosityOf(flags);
  return {
    onFile: ({ name, sizeBytes, step }) => {
      if (isJson) out.line(JSON.stringify({ message_type: step, name, size: sizeBytes }));
      else if (isDryRun || verbosity === 'verbose') {
        out.line(`${showText(name)} [${wordsOf(step, isDryRun)}, ${humanSize(sizeBytes)}]`);
      }
    },
    done: (summary) => {
      if (isJson) out.line(JSON.stringify({ message_type: 'summary', ...jsonOf(summary) }));
      else if (verbosity !== 'quiet') for (const line of collectLines(summary)) out.line(line);
    },
  };
}

/** Collects; 0 when nothing stood in the way, 4 when a snapshot needs what is not there. */
export async function runGc(input: CommandInput): Promise<number> {
  const { flags, outputs } = input;
  const report = openReport('gc', flags, outputs);
  try {
    const reading = readOptionsOf(input, 'lbs gc --store=/mnt/backup');
    refuseOperands(flags, 0, 'gc --store=STORE');
    const { collect } = await import('../maintain/collect.ts');
    const said = collectionSaid(flags, outputs.out);
    const summary = await collect({
      ...reading,
      dryRun: flags.isOn('dry-run'),
      ...present({ localdb: flags.text('localdb'), graceS: graceOf(flags) }),
      onFile: said.onFile,
      report: report.report,
    });
    said.done(summary);
    return summary.damaged > 0 ? EXIT.damaged : EXIT.done;
  } finally {
    report.close();
  }
}

function jsonOf(summary: CollectSummary): Record<string, unknown> {
  return {
    dry_run: summary.dryRun,
    removed: summary.removed,
    removed_bytes: summary.removedBytes,
    condemned: summary.condemned,
    condemned_bytes: summary.condemnedBytes,
    young: summary.young,
    damaged: summary.damaged,
  };
}
