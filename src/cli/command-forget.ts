/** `lbs forget`: options to rules, decisions to lines. */
import { EXIT, LbsError } from '../errors.ts';
import { checkTag } from '../format/snapshot-name.ts';
import type { ForgetDecision, ForgetOptions, ForgetSummary } from '../maintain/forget-options.ts';
import {
  type Duration,
  PERIODS,
  type Period,
  type RetentionRules,
  parseDuration,
} from '../maintain/retention.ts';
import { showText } from '../std/byte-path.ts';
import { humanCount } from '../std/human-size.ts';
import type { CommandInput } from './command.ts';
import type { FlagValues } from './flag-values.ts';
import { openReport } from './open-report.ts';
import { KEEP } from './options-keep.ts';
import type { Output } from './output.ts';
import { present, readOptionsOf } from './store-flags.ts';
import { signingOf } from './storing-flags.ts';

const ALL = 'all';

/** @throws {LbsError} usage */
function countOf(flags: FlagValues, option: string): number {
  const text = flags.text(option);
  if (text === undefined) return 0;
  if (text === ALL) return Number.POSITIVE_INFINITY;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new LbsError('usage', `--${option}=${JSON.stringify(text)} is not a number`, {
    hint: `write how many to keep, or "${ALL}"`,
  });
}

/** @throws {LbsError} usage */
function durationOf(flags: FlagValues, option: string): Duration | undefined {
  const text = flags.text(option);
  if (text === undefined) return undefined;
  const duration = parseDuration(text);
  if (duration !== undefined) return duration;
  throw new LbsError('usage', `--${option}=${JSON.stringify(text)} is not a duration`, {
    hint: 'write years, months, weeks, days and hours in that order, as in 1y6m2w3d12h; some are enough',
  });
}

/** @throws {LbsError} usage */
export function rulesOf(flags: FlagValues): RetentionRules {
  const counts = Object.fromEntries(
    PERIODS.map((period) => [period, countOf(flags, `keep-${period}`)]),
  );
  const within = [undefined, ...PERIODS].flatMap((period: Period | undefined) => {
    const option = period === undefined ? 'keep-within' : `keep-within-${period}`;
    const duration = durationOf(flags, option);
    return duration === undefined ? [] : [{ period, duration }];
  });
  return {
    last: countOf(flags, 'keep-last'),
    counts,
    within,
    tags: flags.texts('keep-tag').map(checkTag),
  };
}

/**
 * Snapshots that are named, or rules. Rules of the configuration are for runs that name none.
 * @throws {LbsError} usage
 */
function whatToForget(flags: FlagValues): Pick<ForgetOptions, 'snapshots' | 'rules'> {
  const snapshots = flags.operands.map((_, at) => flags.operandText(at, 'SNAPSHOT') ?? '');
  const hasRules = KEEP.options.some(({ name }) => flags.isGiven(name));
  return snapshots.length > 0 && !hasRules ? { snapshots } : { snapshots, rules: rulesOf(flags) };
}

export function writeDecisions(summary: ForgetSummary, out: Output): void {
  const { decisions, dryRun, kept, forgotten } = summary;
  const width = Math.max(0, ...decisions.map(({ name }) => showText(name).length));
  for (const decision of decisions) out.line(lineOf(decision, width));
  const words = dryRun ? 'would be forgotten' : 'forgotten';
  out.line(`${humanCount(kept)} kept, ${humanCount(forgotten)} ${words}`);
}

function lineOf({ name, isKept, reasons }: ForgetDecision, width: number): string {
  const word = isKept ? 'keep  ' : 'forget';
  return `${word}  ${showText(name).padEnd(width)}  ${reasons.map(showText).join('; ')}`;
}

export function writeDecisionsJson(summary: ForgetSummary, out: Output): void {
  for (const { name, scheme, isKept, reasons } of summary.decisions) {
    const fields = { snapshot_id: name, scheme: scheme ?? null, keep: isKept, reasons };
    out.line(JSON.stringify({ message_type: 'decision', ...fields }));
  }
  const { kept, forgotten, dryRun } = summary;
  out.line(JSON.stringify({ message_type: 'summary', kept, forgotten, dry_run: dryRun }));
}

/** Forgets snapshots; 0 when all that was decided is done. */
export async function runForget(input: CommandInput): Promise<number> {
  const { flags, outputs } = input;
  const report = openReport('forget', flags, outputs);
  try {
    const reading = readOptionsOf(input, 'lbs forget --store=/mnt/backup --keep-daily=14');
    const { forget } = await import('../maintain/forget.ts');
    const summary = await forget({
      ...reading,
      ...whatToForget(flags),
      ...signingOf(flags),
      dryRun: flags.isOn('dry-run'),
      report: report.report,
      ...present({ localdb: flags.text('localdb') }),
    });
    if (flags.isOn('json')) writeDecisionsJson(summary, outputs.out);
    else if (!flags.isOn('quiet') || summary.dryRun) writeDecisions(summary, outputs.out);
    return EXIT.done;
  } finally {
    report.close();
  }
}
