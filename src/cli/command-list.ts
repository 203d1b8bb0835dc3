/** `lbs list`: the snapshots of a store as a table, or one JSON line each. */
import { EXIT } from '../errors.ts';
import { formatDate } from '../format/timestamp.ts';
import type { SnapshotInfo } from '../maintain/verify-options.ts';
import { showText } from '../std/byte-path.ts';
import { humanCount, humanSize } from '../std/human-size.ts';
import type { CommandInput } from './command.ts';
import { openReport } from './open-report.ts';
import { readOptionsOf, refuseOperands } from './store-flags.ts';

const HEADINGS = ['SNAPSHOT', 'DATE', 'HOST', 'FILES', 'SIZE', 'STORED', ''];
/** Columns of numbers, set flush right; notes follow. */
const FIRST_NUMBER = 3;
const NOTES = 6;

function rowOf(info: SnapshotInfo): string[] {
  const { counts } = info;
  return [
    showText(info.name),
    info.date === undefined ? '-' : formatDate(info.date),
    info.host === undefined ? '-' : showText(info.host),
    counts === undefined ? '-' : humanCount(counts.files),
    counts === undefined ? '-' : humanSize(counts.bytes),
    humanSize(info.storedBytes),
    [...(info.isHeld ? ['held'] : []), ...info.tags.map(showText)].join(' '),
  ];
}

/** The table of snapshots, a line each; the last line counts them. */
export function snapshotTable(snapshots: readonly SnapshotInfo[]): string[] {
  if (snapshots.length === 0) return ['no snapshots'];
  const rows = snapshots.map(rowOf);
  const widths = HEADINGS.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const lineOf = (row: readonly string[]) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return column < FIRST_NUMBER || column === NOTES
          ? cell.padEnd(width)
          : cell.padStart(width);
      })
      .join('  ')
      .trimEnd();
  const lines = [lineOf(HEADINGS)];
  for (const [at, info] of snapshots.entries()) {
    const row = rows[at] ?? [];
    if (info.error === undefined) lines.push(lineOf(row));
    else lines.push(`${(row[0] ?? '').padEnd(widths[0] ?? 0)}  unusable: ${showText(info.error)}`);
  }
  const count = snapshots.length;
  return [...lines, `${humanCount(count)} ${count === 1 ? 'snapshot' : 'snapshots'}`];
}

/** One snapshot as a JSON line, in restic's words and ours. */
export function snapshotJson(info: SnapshotInfo): string {
  const { counts } = info;
  return JSON.stringify({
    message_type: 'snapshot',
    struct_type: 'snapshot',
    id: info.name,
    time: info.date === undefined ? null : new Date(info.date * 1000).toISOString(),
    hostname: info.host ?? null,
    scheme: info.scheme ?? null,
    program_version: info.producer ?? null,
    format: info.format,
    signed: info.signed,
    held: info.isHeld,
    tags: info.tags,
    intent: info.intent ?? null,
    segments: info.segments,
    stored_bytes: info.storedBytes,
    summary: counts && {
      total_files_processed: counts.files,
      total_bytes_processed: counts.bytes,
      data_added_packed: counts.stored,
      entries: counts.entries,
      warnings: counts.warnings,
    },
    error: info.error ?? null,
  });
}

/** A list with snapshots that must not or cannot be used is no good news. */
function exitOf(snapshots: readonly SnapshotInfo[]): number {
  const codes = snapshots.flatMap(({ errorCode }) => errorCode ?? []);
  if (codes.length === 0) return EXIT.done;
  if (codes.some((code) => code === 'signature-bad' || code === 'signature-missing')) {
    return EXIT.signature;
  }
  // Snapshots of a newer program are not damaged.
  return codes.every((code) => code === 'format-version') ? EXIT.failed : EXIT.damaged;
}

/** Lists snapshots. */
export async function runList(input: CommandInput): Promise<number> {
  const { flags, outputs } = input;
  const report = openReport('list', flags, outputs);
  try {
    const reading = readOptionsOf(input, 'lbs list --store=/mnt/backup');
    refuseOperands(flags, 0, 'list --store=STORE');
    const { list } = await import('../maintain/list-snapshots.ts');
    const snapshots = await list({ ...reading, report: report.report });
    const lines = flags.isOn('json') ? snapshots.map(snapshotJson) : snapshotTable(snapshots);
    for (const line of lines) outputs.out.line(line);
    return exitOf(snapshots);
  } finally {
    report.close();
  }
}
