/** A comparison of a snapshot with the disk, for `compare` and for `diff` with one snapshot. */
import { EXIT } from '../errors.ts';
import type { LiveDiff } from '../inspect/live-diff.ts';
import type { Report } from '../report.ts';
import type { BytePath } from '../std/byte-path.ts';
import { humanCount, humanSize } from '../std/human-size.ts';
import type { CommandInput } from './command.ts';
import type { CommandReport } from './command-report.ts';
import type { Output } from './output.ts';
import { rulesOf } from './selection-flags.ts';
import { type ChangeSums, writeChanges } from './show-change.ts';
import { present, readOptionsOf } from './store-flags.ts';

export type LiveQuestion = {
  readonly snapshot: string;
  readonly path?: BytePath;
  readonly readAll: boolean;
  /** The answer is whether all is equal, in the exit code too. */
  readonly isDrill: boolean;
};

/** Compares and shows what differs; the exit code. @throws {LbsError} as `diffLive` */
export async function compareLive(
  { flags, signal, outputs }: CommandInput,
  report: CommandReport,
  out: Output,
  question: LiveQuestion,
): Promise<number> {
  const { snapshot, path, readAll, isDrill } = question;
  const reading = readOptionsOf({ flags, signal, outputs }, 'lbs diff --store=/mnt/backup latest');
  let isDamaged = false;
  let isIncomplete = false;
  const watched: Report = (event) => {
    isDamaged ||= event.type === 'damage';
    isIncomplete ||= event.type === 'warning';
    report.report(event);
  };
  const { diffLive } = await import('../inspect/live-diff.ts');
  const found = await diffLive({
    ...reading,
    snapshot,
    readAll,
    ...rulesOf(flags),
    report: watched,
    ...present({ path, localdb: flags.text('localdb') }),
  });
  try {
    report.close();
    const isJson = flags.isOn('json');
    const sums = await writeChanges(found, out, { isJson, isStat: flags.isOn('stat'), signal });
    if (isDrill && !isJson && !flags.isOn('quiet')) {
      out.line(summaryLine(found, sums, isDamaged || isIncomplete));
    }
    // What could not be compared must not pass for equal.
    if (isDamaged) return EXIT.damaged;
    return isIncomplete || (isDrill && sums.changes > 0) ? EXIT.incomplete : EXIT.done;
  } finally {
    found.close();
  }
}

function summaryLine(found: LiveDiff, { changes }: ChangeSums, hasTrouble: boolean): string {
  const { before, entries, filesRead, bytesRead } = found;
  const read = `${humanCount(entries)} entries compared, ${humanSize(bytesRead)} read in ${humanCount(filesRead)} files`;
  const differ = changes === 1 ? '1 difference' : `${humanCount(changes)} differences`;
  if (changes > 0) return `${differ} from ${before}; ${read}`;
  return hasTrouble
    ? `no difference from ${before} in what could be read; ${read}`
    : `equal to ${before}; ${read}`;
}
