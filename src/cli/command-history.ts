/** `lbs history`: the versions of one path through all snapshots, as a table or JSON lines. */
import { EXIT, LbsError } from '../errors.ts';
import type { Period } from '../inspect/history.ts';
import type { Report } from '../report.ts';
import { showText } from '../std/byte-path.ts';
import type { CommandInput } from './command.ts';
import { openReport } from './open-report.ts';
import { HISTORY } from './options-inspect.ts';
import { contentColumn, dateColumn, sizeColumn, versionFields } from './show-version.ts';
import { readOptionsOf, refuseOperands } from './store-flags.ts';

const HEADINGS = ['SNAPSHOT', 'SIZE', 'CHANGED', 'SHA256'];
/** The column of sizes, set flush right. */
const SIZE_COLUMN = 1;

function rowOf({ first, version }: Period): string[] {
  if (version === undefined) return [showText(first), '-', 'gone', ''];
  return [showText(first), sizeColumn(version), dateColumn(version), contentColumn(version)];
}

/** The table of periods, a line each. */
export function historyTable(periods: readonly Period[]): string[] {
  const rows = [HEADINGS, ...periods.map(rowOf)];
  const widths = HEADINGS.map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return column === SIZE_COLUMN ? cell.padStart(width) : cell.padEnd(width);
      })
      .join('  ')
      .trimEnd(),
  );
}

function periodJson({ first, last, version }: Period): string {
  return JSON.stringify({
    message_type: version === undefined ? 'gone' : 'version',
    snapshot_id: first,
    last_snapshot_id: last,
    ...(version && versionFields(version)),
  });
}

/** Lists versions. */
export async function runHistory(input: CommandInput): Promise<number> {
  const { flags, outputs } = input;
  const report = openReport('history', flags, outputs);
  try {
    const reading = readOptionsOf(input, 'lbs history --store=/mnt/backup home/ann/letter');
    const usage = `history ${HISTORY.usage.join('')}`;
    refuseOperands(flags, 1, usage);
    const [path] = flags.operands;
    if (path === undefined || path.length === 0) {
      throw new LbsError('usage', 'no path given', { hint: `usage: lbs ${usage}` });
    }
    const { history } = await import('../inspect/history.ts');
    let isDamaged = false;
    const watched: Report = (event) => {
      isDamaged ||= event.type === 'damage';
      report.report(event);
    };
    const periods = await history({ ...reading, path, report: watched });
    const lines = flags.isOn('json') ? periods.map(periodJson) : historyTable(periods);
    for (const line of lines) outputs.out.line(line);
    return isDamaged ? EXIT.damaged : EXIT.done;
  } finally {
    report.close();
  }
}
