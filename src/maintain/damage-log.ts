/** What a verification has found so far: each finding is reported at once and kept for the end. */
import { parseSegmentFile } from '../format/snapshot-name.ts';
import type { Damage, Report } from '../report.ts';
import type { TakenOut } from './taken-out.ts';

/** Findings kept for the summary; all are reported. A missing segment can cost millions. */
const KEPT_MAX = 100_000;

export class DamageLog {
  readonly #report: Report;
  readonly #takenOut: TakenOut;
  readonly #kept: Damage[] = [];
  readonly #storeFiles = new Set<string>();
  #count = 0;

  constructor(report: Report, takenOut: TakenOut) {
    this.#report = report;
    this.#takenOut = takenOut;
  }

  /** But of what was taken out of the store on purpose. @throws {LbsError} io, store-missing */
  add(damage: Damage): void {
    const { snapshot, what, name } = damage;
    if (snapshot !== undefined && this.#takenOut.isSnapshot(snapshot)) return;
    const segment = what === 'store-file' ? parseSegmentFile(name)?.segment : undefined;
    if (segment !== undefined && this.#takenOut.isSegment(segment, name)) return;
    this.#count++;
    if (damage.what === 'store-file') this.#storeFiles.add(damage.name);
    if (this.#kept.length < KEPT_MAX) this.#kept.push(damage);
    this.#report({ type: 'damage', damage });
  }

  /** True when something was found wrong with this file of the store. */
  hasStoreFile(name: string): boolean {
    return this.#storeFiles.has(name);
  }

  get count(): number {
    return this.#count;
  }

  get kept(): readonly Damage[] {
    return this.#kept;
  }
}
