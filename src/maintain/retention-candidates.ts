/**
 * What retention is told of the snapshots of a scheme: descriptors are read and held against their
 * names and against the list of files; no segment is opened. Called by forget, which hands the
 * result to `decideRetention`.
 *
 * Invariant: whatever is odd about a snapshot makes it one that is left alone, never one that goes,
 * and never one that another has to go for.
 */
import { hash } from 'node:crypto';
import { LbsError } from '../errors.ts';
import type { Descriptor } from '../format/descriptor.ts';
import { formatTimestamp, parseTimestamp } from '../format/timestamp.ts';
import { SegmentSource } from '../segments/segment-source.ts';
import { type SnapshotFile, openStored, storedDescriptor } from '../snapshots/open-snapshot.ts';
import { NotesOfStore } from '../snapshots/snapshot-notes.ts';
import type { Store, StoredFile } from '../stores/store.ts';
import type { Candidate } from './retention.ts';

/** Names of old programs are in the local time of a machine; a run may take hours. */
const NAME_TOLERANCE_S = 86400;

type State = Pick<Candidate, 'isComplete' | 'problem'> & {
  /** The same for a descriptor and its copies under other names. */
  readonly identity?: string;
  /** How far the name is from the date in the text. */
  readonly driftS?: number;
  /** When the store got the first descriptor of this snapshot, where that was another one. */
  readonly arrivedS?: number | undefined;
};

export type CandidateOptions = {
  readonly verifyKey?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Of a descriptor that compacting put in place of another one, by its SHA-256: when that came. */
  readonly arrivalOf?: (descriptor: Buffer) => number | undefined;
};

export class RetentionCandidates {
  readonly #store: Store;
  readonly #source: SegmentSource;
  readonly #notes: NotesOfStore;
  readonly #options: CandidateOptions;

  /** `files`: the listing of `store`. */
  constructor(store: Store, files: readonly StoredFile[], options: CandidateOptions) {
    this.#store = store;
    this.#source = new SegmentSource(store, {}, files);
    this.#notes = new NotesOfStore(files);
    this.#options = options;
  }

  isHeld(name: string): boolean {
    return this.#notes.of(name).isHeld;
  }

  /** All of `snapshots`, which are of one scheme. @throws {LbsError} signature-key, interrupted */
  async of(snapshots: readonly SnapshotFile[]): Promise<Candidate[]> {
    const states = new Map<SnapshotFile, State>();
    for (const snapshot of snapshots) states.set(snapshot, await this.#stateOf(snapshot));
    // Without a key anybody can write a descriptor that is no copy, so nothing would be gained.
    const originals =
      this.#options.verifyKey === undefined ? new Map<string, string>() : originalsOf(states);
    return snapshots.map((snapshot) => {
      const { identity, isComplete = false, problem, arrivedS } = states.get(snapshot) ?? {};
      const original = originals.get(identity ?? '') ?? snapshot.name;
      return {
        name: snapshot.name,
        timeS: parseTimestamp(snapshot.timestamp) ?? 0,
        arrivedS: arrivedS ?? snapshot.file.arrivedS,
        ...this.#notes.of(snapshot.name),
        isComplete,
        problem:
          original === snapshot.name ? problem : (problem ?? `left alone: a copy of ${original}`),
      };
    });
  }

  /** True for one that nothing is missing in. @throws {LbsError} signature-key, interrupted */
  async isComplete(snapshot: SnapshotFile): Promise<boolean> {
    const { isComplete, problem } = await this.#stateOf(snapshot);
    return isComplete && problem === undefined;
  }

  async #stateOf(snapshot: SnapshotFile): Promise<State> {
    const { verifyKey, signal, arrivalOf } = this.#options;
    if (signal?.aborted === true) throw new LbsError('interrupted', 'interrupted');
    try {
      const stored = storedDescriptor(this.#store, snapshot);
      const { descriptor } = await openStored(snapshot, stored, { verifyKey });
      const { segments, counts, date, fields } = descriptor;
      const lacks = segments.some((segment) => this.#source.fileOf(segment) === undefined);
      const isComplete = !lacks && (counts?.warnings ?? 0) === 0;
      const nameS = parseTimestamp(snapshot.timestamp) ?? 0;
      return {
        isComplete,
        problem: contradiction(snapshot, descriptor, nameS),
        identity: ['Date', 'Root', 'Checksums'].map((key) => fields.get(key)).join(' '),
        driftS: Math.abs(nameS - (date ?? 0)),
        // Only what this machine remembers counts: the key itself can be in any descriptor.
        arrivedS:
          descriptor.compactedFrom === undefined
            ? undefined
            : arrivalOf?.(hash('sha256', stored, 'buffer')),
      };
    } catch (error) {
      if (!(error instanceof LbsError) || error.code === 'signature-key') throw error;
      return { isComplete: false, problem: `left alone: ${error.message}` };
    }
  }
}

/** A signature covers the text and not the name: a good one can be put under any name. */
function contradiction(
  { scheme = '' }: SnapshotFile,
  descriptor: Descriptor,
  nameS: number,
): string | undefined {
  const of = descriptor.scheme ?? '';
  if (of !== scheme) {
    return `left alone: its descriptor is of ${of === '' ? 'no scheme' : `scheme "${of}"`}`;
  }
  const { date } = descriptor;
  if (date === undefined || Math.abs(nameS - date) <= NAME_TOLERANCE_S) return undefined;
  return `left alone: its descriptor is of ${formatTimestamp(date)}`;
}

/** The name of the original for each identity: that with the name closest to the date in it. */
function originalsOf(states: ReadonlyMap<SnapshotFile, State>): Map<string, string> {
  const originals = new Map<string, { name: string; driftS: number }>();
  for (const [{ name }, { identity, driftS, problem }] of states) {
    if (identity === undefined || driftS === undefined || problem !== undefined) continue;
    const known = originals.get(identity);
    if (known === undefined || driftS < known.driftS) originals.set(identity, { name, driftS });
  }
  return new Map([...originals].map(([identity, { name }]) => [identity, name]));
}
