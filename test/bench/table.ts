/** The table of a benchmark as text, one line for each row; README.md here says how to read it. */
import type { Goal } from './goals.ts';
import type { Judged, Results, Row, Unit } from './results.ts';

const NAME_WIDTH = 48;
const NUMBER_WIDTH = 10;
const GOAL_WIDTH = 14;

/** What stands at the end of a line; a missed goal is what eyes should fall on. */
function mark(row: Row, { goal, met }: Judged): string {
  if (row.failed) return '<-- FAILED';
  if (goal === undefined) return '';
  if (met === undefined) return '? not measured';
  return met ? 'ok' : '<-- missed';
}

export function showAmount(value: number, unit: Unit): string {
  switch (unit) {
    case 'B':
      if (value >= 1e7) return `${(value / 1e6).toFixed(0)} MB`;
      if (value >= 1e6) return `${(value / 1e6).toFixed(1)} MB`;
      return value >= 1e4 ? `${(value / 1e3).toFixed(0)} KB` : `${value.toFixed(0)} B`;
    case 's':
      return `${value.toFixed(2)} s`;
    case 'MB':
      return `${value.toFixed(0)} MB`;
    case 'us':
      return `${value.toFixed(1)} us`;
    case 'x':
      return `${value.toFixed(2)}x`;
    case '':
      return String(Math.round(value * 100) / 100);
  }
}

function showGoal(goal: Goal | undefined, unit: Unit): string {
  if (goal === undefined) return '';
  if ('ratio' in goal) return `<= ${showAmount(goal.ratio, 'x')}`;
  if ('atMost' in goal) return `<= ${showAmount(goal.atMost, unit)}`;
  return `>= ${showAmount(goal.atLeast, unit)}`;
}

function line(name: string, numbers: readonly string[], goal: string, end: string): string {
  const cells = numbers.map((text) => text.padStart(NUMBER_WIDTH)).join('');
  return `${name.padEnd(NAME_WIDTH)}${cells}  ${goal.padEnd(GOAL_WIDTH)}${end}`.trimEnd();
}

function showRow(row: Row, judged: Judged): string {
  const { median, ratio, goal } = judged;
  const numbers = [
    median?.wallS.toFixed(2) ?? '',
    median?.cpuS.toFixed(2) ?? '',
    median?.peakMB.toFixed(0) ?? '',
    row.figure ? showAmount(row.figure.value, row.figure.unit) : '',
    ratio === undefined ? '' : showAmount(ratio, 'x'),
  ];
  const ending = [mark(row, judged), row.note ?? ''].filter((text) => text !== '').join('  ');
  return line(`  ${row.name}`, numbers, showGoal(goal, row.figure?.unit ?? 's'), ending);
}

export function showTable(results: Results): string {
  const lines: string[] = [];
  let section = '';
  for (const row of results.rows()) {
    if (row.section !== section) {
      section = row.section;
      if (lines.length > 0) lines.push('');
      const heads = ['wall s', 'cpu s', 'peak MB', 'amount', 'lbs is'];
      lines.push(line(section.toUpperCase(), heads, 'goal', ''));
    }
    lines.push(showRow(row, results.judge(row)));
  }
  return lines.join('\n');
}
