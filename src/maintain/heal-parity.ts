/**
 * `lbs heal` without another store: segments that are damaged or missing, made again by par2 in a
 * scratch directory, from which heal takes them as from any other store, held against their
 * recorded checksums. Called by the command line.
 */
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { LbsError } from '../errors.ts';
import { parseSegmentFile } from '../format/snapshot-name.ts';
import { ScratchDirectory } from '../posix/scratch-directory.ts';
import { type ReportEvent, silentReport } from '../report.ts';
import { openStore } from '../stores/open-store.ts';
import type { Store } from '../stores/store.ts';
import { stagingError } from '../stores/store-error.ts';
import type { HealOptions, HealSummary } from './heal-options.ts';
import { heal } from './heal.ts';
import { hasStrangeName, Par2Scratch } from './par2.ts';
import { type ParitySet, paritySets } from './parity-sets.ts';

const REASON = '; it cannot be healed: ';

export type HealParityOptions = Omit<HealOptions, 'from'>;

/** True for a store that has parity. @throws {LbsError} store-missing, io */
export function hasParity(place: string): boolean {
  const store = openStore(place);
  const { sets, damagedLists } = paritySets(store, store.list());
  return sets.length + damagedLists.length > 0;
}

/**
 * Heals what parity can make again. What cannot be healed is reported as damage.
 * @throws {LbsError} as `heal`; filter-missing where there is no par2
 */
export async function healFromParity(options: HealParityOptions): Promise<HealSummary> {
  const { report = silentReport, signal, dryRun = false } = options;
  const store = openStore(options.store);
  const scratch = new ScratchDirectory('heal');
  const from = scratch.path;
  try {
    const damaged = new Set<string>();
    const look = (event: ReportEvent) => {
      if (event.type === 'damage') damaged.add(event.damage.name);
    };
    const seen = await heal({ ...options, from, dryRun: true, report: look });
    if (seen.damaged === 0) return { ...seen, dryRun };
    const segments = [...damaged].filter((name) => parseSegmentFile(name) !== undefined);
    const wanted = new Set(segments);
    for (const set of paritySets(store, store.list()).sets) {
      if (![...set.segments.keys()].some((name) => wanted.has(name))) continue;
      const trouble = await makeAgain(store, set, { wanted, to: from, signal });
      if (trouble !== undefined) report({ type: 'note', message: `${set.listFile}: ${trouble}` });
    }
    return await heal({ ...options, from, report: (event) => report(inOurWords(event)) });
  } finally {
    scratch.close();
  }
}

/** What parity has to say of the reasons that a store had. */
function inOurWords(event: ReportEvent): ReportEvent {
  if (event.type !== 'damage') return event;
  const { name, message } = event.damage;
  const isSegment = parseSegmentFile(name) !== undefined;
  const reason = isSegment
    ? 'parity cannot make it again'
    : 'parity is of segments only; "lbs repair" may make it again';
  const trouble = message.slice(0, message.includes(REASON) ? message.indexOf(REASON) : undefined);
  return { ...event, damage: { ...event.damage, message: trouble + REASON + reason } };
}

/** Of par2: a repair that was possible has failed, or a file could not be read or written. */
const FAILED_CODES = new Set([5, 6]);

type Wanted = {
  readonly wanted: Set<string>;
  readonly to: string;
  readonly signal: AbortSignal | undefined;
};

function takeOver(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    throw stagingError(to, 'put what par2 has made', error);
  }
}

/** Makes damaged segments of a set again in the directory `to`; why not, when that fails. */
async function makeAgain(
  store: Store,
  set: ParitySet,
  { wanted, to, signal }: Wanted,
): Promise<string | undefined> {
  const scratch = new Par2Scratch();
  try {
    const allowed = new Set(set.segments.keys());
    let main: string | undefined;
    for (const name of set.parity.keys()) {
      if (store.find(name) === undefined) continue;
      scratch.link(store, name);
      if (hasStrangeName(join(scratch.dir, name), allowed)) {
        return `it is not used: ${name} speaks of other files than its segments`;
      }
      main ??= name;
    }
    if (main === undefined) return 'none of its par2 files is there';
    for (const name of allowed) {
      if (store.find(name) !== undefined) scratch.link(store, name);
    }
    const { code, lastWords } = await scratch.run(['repair', main], signal);
    for (const name of scratch.written()) {
      if (!wanted.has(name) || !allowed.has(name)) continue;
      takeOver(join(scratch.dir, name), join(to, name));
      wanted.delete(name);
    }
    if (code === 0) return undefined;
    const trouble = 'par2 cannot make all of its segments again';
    if (!FAILED_CODES.has(code)) return `${trouble}: ${lastWords}`;
    return `${trouble} in ${scratch.dir}: ${lastWords} Is there room, and is that disk well? TMPDIR names another`;
  } catch (error) {
    if (error instanceof LbsError && error.code === 'store-missing-file') return error.message;
    throw error;
  } finally {
    scratch.close();
  }
}
