/** `lbs usage`: tables of what takes space, with bars on a terminal. */
import { EXIT, LbsError } from '../errors.ts';
import type { CleanedSegment } from '../maintain/clean.ts';
import type { PathUsage, UsageSummary } from '../maintain/usage.ts';
import { showPath, showText } from '../std/byte-path.ts';
import { humanCount, humanSize } from '../std/human-size.ts';
import type { CommandInput } from './command.ts';
import type { FlagValues } from './flag-values.ts';
import { jsonPath } from './json-report.ts';
import { openReport } from './open-report.ts';
import type { Output } from './output.ts';
import { present, readOptionsOf, refuseOperands, storeOf } from './store-flags.ts';

const EXAMPLE = 'lbs usage --store=/mnt/backup';
const BAR_WIDTH = 24;
const DEPTH = 2;
const DEPTH_MAX = 100;

/** Columns of text, the first flush left; with `amounts` a bar for each row on a terminal. */
function table(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  amounts: readonly number[],
): string[] {
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const most = Math.max(1, ...amounts);
  const hasBars = process.stdout.isTTY === true;
  const line = (row: readonly string[], amount: number) => {
    const cells = row.map((cell, at) =>
      at === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[at] ?? 0),
    );
    const bar = hasBars
      ? `  ${'#'.repeat(Math.round((Math.max(0, amount) / most) * BAR_WIDTH))}`
      : '';
    return `${cells.join('  ')}${bar}`.trimEnd();
  };
  return [line(headings, 0), ...rows.map((row, at) => line(row, amounts[at] ?? 0))];
}

function snapshotLines({ snapshots, neededBytes, storedBytes }: UsageSummary): string[] {
  const rows = snapshots.map(({ name, fileBytes, wholeBytes, newBytes, onlyHereBytes }) => [
    showText(name),
    ...[fileBytes, wholeBytes, newBytes, onlyHereBytes].map((bytes) => humanSize(bytes)),
  ]);
  const amounts = snapshots.map(({ onlyHereBytes }) => onlyHereBytes);
  return [
    ...table(['SNAPSHOT', 'FILES', 'IN STORE', 'NEW', 'ONLY HERE'], rows, amounts),
    `contents of all snapshots: ${humanSize(neededBytes)}; segments of the store: ${humanSize(storedBytes)}`,
  ];
}

function pathLines(paths: readonly PathUsage[]): string[] {
  const hasGrowth = paths.some(({ grownBytes }) => grownBytes !== undefined);
  const rows = paths.map(({ path, bytes, files, grownBytes = 0 }) => [
    showPath(Buffer.from(path, 'latin1')),
    humanCount(files),
    humanSize(bytes),
    ...(hasGrowth ? [`${grownBytes < 0 ? '-' : '+'}${humanSize(Math.abs(grownBytes))}`] : []),
  ]);
  const headings = ['DIRECTORY', 'FILES', 'SIZE', ...(hasGrowth ? ['GROWN'] : [])];
  const amounts = paths.map(({ bytes, grownBytes }) => grownBytes ?? bytes);
  return table(headings, rows, amounts);
}

function segmentLines(segments: readonly CleanedSegment[]): string[] {
  const rows = segments.map(({ file, group, ageDays, used, storedBytes }) => [
    showText(file),
    group,
    `${Math.floor(ageDays)} d`,
    humanSize(storedBytes),
    `${Math.round(used * 100)}%`,
  ]);
  const amounts = segments.map(({ used }) => used);
  return table(['SEGMENT', 'GROUP', 'AGE', 'SIZE', 'USED'], rows, amounts);
}

/** @throws {LbsError} usage */
function depthOf(flags: FlagValues): number {
  const text = flags.text('depth');
  if (text === undefined) return DEPTH;
  if (/^\d{1,3}$/.test(text) && Number(text) <= DEPTH_MAX) return Number(text);
  throw new LbsError('usage', `--depth=${JSON.stringify(text)} is not a small number`);
}

async function showSegments(input: CommandInput): Promise<number> {
  const { flags, outputs } = input;
  const { segmentUsage } = await import('../maintain/clean.ts');
  const segments = segmentUsage({
    store: storeOf(flags, EXAMPLE),
    ...present({ localdb: flags.text('localdb') }),
  });
  const lines = flags.isOn('json')
    ? segments.map((segment) => JSON.stringify({ message_type: 'segment', ...segment }))
    : segmentLines(segments);
  for (const line of lines) outputs.out.line(line);
  return EXIT.done;
}

async function showPaths(input: CommandInput, out: Output): Promise<number> {
  const { flags } = input;
  const report = openReport('usage', flags, input.outputs);
  let isDamaged = false;
  try {
    const { pathUsage } = await import('../maintain/usage.ts');
    const paths = await pathUsage({
      ...readOptionsOf(input, EXAMPLE),
      snapshot: flags.operandText(0, 'SNAPSHOT') ?? 'latest',
      depth: depthOf(flags),
      ...present({ since: flags.text('since') }),
      report: (event) => {
        isDamaged ||= event.type === 'damage';
        report.report(event);
      },
    });
    if (!flags.isOn('json')) for (const line of pathLines(paths)) out.line(line);
    else {
      for (const { path, bytes, files, grownBytes } of paths) {
        const fields = { ...jsonPath('path', Buffer.from(path, 'latin1')), bytes, files };
        const grown = grownBytes === undefined ? {} : { grown_bytes: grownBytes };
        out.line(JSON.stringify({ message_type: 'path', ...fields, ...grown }));
      }
    }
    return isDamaged ? EXIT.damaged : EXIT.done;
  } finally {
    report.close();
  }
}

/** Shows what is asked for; 4 when some metadata could not be read. */
export async function runUsage(input: CommandInput): Promise<number> {
  const { flags, outputs } = input;
  const { out } = outputs;
  if (flags.isOn('segments') && flags.isOn('paths')) {
    throw new LbsError('usage', 'give either --segments or --paths, not both');
  }
  refuseOperands(flags, flags.isOn('paths') ? 1 : 0, 'usage --store=STORE [--paths [SNAPSHOT]]');
  if (flags.isOn('segments')) return await showSegments(input);
  if (flags.isOn('paths')) return await showPaths(input, out);
  const report = openReport('usage', flags, outputs);
  try {
    const { usage } = await import('../maintain/usage.ts');
    const summary = await usage({ ...readOptionsOf(input, EXAMPLE), report: report.report });
    if (!flags.isOn('json')) for (const line of snapshotLines(summary)) out.line(line);
    else {
      for (const one of summary.snapshots) {
        const { name, scheme = null, fileBytes, wholeBytes, newBytes, onlyHereBytes } = one;
        const sizes = { file_bytes: fileBytes, whole_bytes: wholeBytes, new_bytes: newBytes };
        const fields = { snapshot_id: name, scheme, ...sizes, only_here_bytes: onlyHereBytes };
        out.line(JSON.stringify({ message_type: 'snapshot', ...fields }));
      }
      const { neededBytes, storedBytes } = summary;
      const sums = { needed_bytes: neededBytes, stored_bytes: storedBytes };
      out.line(JSON.stringify({ message_type: 'summary', ...sums }));
    }
    return summary.damaged > 0 ? EXIT.damaged : EXIT.done;
  } finally {
    report.close();
  }
}
