/**
 * What was measured, row by row, and what follows from it: medians, ratios, and whether a goal is
 * met. Filled by the scenarios, shown by table.ts, written as JSON by main.ts.
 */
import { GOALS, type Goal, SECTION, type Section, SUBJECT } from './goals.ts';
import type { Usage } from './run-measured.ts';

export type Unit = 'B' | 's' | 'MB' | 'us' | 'x' | '';

/** One line of the table. */
export type Row = {
  readonly section: Section;
  readonly name: string;
  readonly samples: Usage[];
  figure?: { readonly value: number; readonly unit: Unit };
  /** Why there is nothing, or what to know about it. */
  note?: string;
  failed: boolean;
};

export type Judged = {
  readonly median: Usage | undefined;
  /** Wall time of lbs in this section by that of this row. */
  readonly ratio: number | undefined;
  readonly goal: Goal | undefined;
  /** Undefined without a goal, or when it could not be measured. */
  readonly met: boolean | undefined;
};

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low = NaN, high = NaN] = [sorted[sorted.length % 2 ? middle : middle - 1], sorted[middle]];
  return (low + high) / 2;
}

function medianUsage(samples: readonly Usage[]): Usage | undefined {
  if (samples.length === 0) return undefined;
  return {
    wallS: median(samples.map(({ wallS }) => wallS)),
    cpuS: median(samples.map(({ cpuS }) => cpuS)),
    // A limit on memory is one that is never passed.
    peakMB: Math.max(...samples.map(({ peakMB }) => peakMB)),
  };
}

export class Results {
  readonly #rows: Row[] = [];
  /** Commands that did not work, as they were told when it happened. */
  readonly failures: string[] = [];

  find(section: Section, name: string): Row | undefined {
    return this.#rows.find((row) => row.section === section && row.name === name);
  }

  /** The row of that name, made when it is new. */
  row(section: Section, name: string): Row {
    let row = this.find(section, name);
    if (row === undefined) {
      row = { section, name, samples: [], failed: false };
      this.#rows.push(row);
    }
    return row;
  }

  figure(section: Section, name: string, value: number, unit: Unit): void {
    this.row(section, name).figure = { value, unit };
  }

  note(section: Section, name: string, note: string): void {
    this.row(section, name).note = note;
  }

  /** Median of the wall times, or undefined when it was not measured. */
  wall(section: Section, name: string): number | undefined {
    return medianUsage(this.find(section, name)?.samples ?? [])?.wallS;
  }

  /** Rows by section, in the order of the table. */
  rows(): Row[] {
    return Object.values(SECTION).flatMap((section) =>
      this.#rows.filter((row) => row.section === section),
    );
  }

  judge(row: Row): Judged {
    const goal = GOALS[row.section]?.[row.name];
    const usage = medianUsage(row.samples);
    const ours = this.#oursBeside(row);
    const ratio = usage && ours && !row.failed ? ours.wallS / usage.wallS : undefined;
    const value = row.figure?.value ?? usage?.wallS;
    return { median: usage, ratio, goal, met: row.failed ? undefined : met(goal, ratio, value) };
  }

  /** What lbs took in the section of a row of another program. */
  #oursBeside(row: Row): Usage | undefined {
    if (row.name.startsWith('lbs')) return undefined;
    const name = SUBJECT[row.section] ?? 'lbs';
    const ours = this.find(row.section, name);
    return ours === undefined || ours.failed ? undefined : medianUsage(ours.samples);
  }
}

function met(
  goal: Goal | undefined,
  ratio: number | undefined,
  value: number | undefined,
): boolean | undefined {
  if (goal === undefined) return undefined;
  if ('ratio' in goal) return ratio === undefined ? undefined : ratio <= goal.ratio;
  if (value === undefined) return undefined;
  return 'atMost' in goal ? value <= goal.atMost : value >= goal.atLeast;
}
