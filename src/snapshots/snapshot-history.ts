/**
 * Whether snapshots are what those after them, and this machine, remember of them: the chain of
 * descriptors, each of which names its predecessor with that one's SHA-256, and `lbs-seen`.
 *
 * Called by verify with both, and by backup with what the machine remembers. Only text is compared:
 * who signed is asked where descriptors are opened. What was forgotten with a note is no trouble.
 * A predecessor that is not there may have been left behind by a copy, so that alone is none either.
 */
import { createHash } from 'node:crypto';
import { LbsError } from '../errors.ts';
import type { Descriptor } from '../format/descriptor.ts';
import { parseSnapshotFile, parseSnapshotName } from '../format/snapshot-name.ts';
import type { Damage } from '../report.ts';
import { showText } from '../std/byte-path.ts';
import type { Store } from '../stores/store.ts';
import type { ForgottenSnapshots } from './forgotten-notes.ts';
import { readSmallFile } from './open-snapshot.ts';

/** As for any descriptor. */
const DESCRIPTOR_BYTES_MAX = 64 * 1024 * 1024;
const MOVED = /^Compacted_from: /m;

/** SHA-256 in hexadecimal digits. */
export function digestOf(stored: Buffer): string {
  return createHash('sha256').update(stored).digest('hex');
}

/** The descriptors that a store has, and their digests, each found out at most once. */
export class StoredDescriptors {
  readonly #store: Store;
  readonly #files = new Map<string, string>();
  readonly #digests = new Map<string, string | undefined>();

  /** `names`: of the files of the store. */
  constructor(store: Store, names: Iterable<string>) {
    this.#store = store;
    for (const file of names) {
      const { name, kind = '' } = parseSnapshotFile(file) ?? {};
      if (name === undefined || (kind !== 'lbs' && kind !== 'cumulus')) continue;
      if (!this.#files.has(name)) this.#files.set(name, file);
    }
  }

  has(name: string): boolean {
    return this.#files.has(name);
  }

  /** Those of a scheme, oldest first. */
  ofScheme(scheme: string | undefined): string[] {
    const names = [...this.#files.keys()];
    return names.filter((name) => parseSnapshotName(name)?.scheme === scheme).sort();
  }

  /** For a caller who has read the descriptor anyway; undefined for one that is damaged. */
  set(name: string, digest: string | undefined): void {
    this.#digests.set(name, digest);
  }

  /** Undefined for one that is not there, or cannot be read: whoever may only add files cannot. */
  digestOf(name: string): string | undefined {
    if (this.#digests.has(name)) return this.#digests.get(name);
    const stored = this.#read(name);
    const digest = stored && digestOf(stored);
    this.#digests.set(name, digest);
    return digest;
  }

  /** True for one that compacting put there: another one may have had its name before. */
  isMoved(name: string): boolean {
    return MOVED.test(this.#read(name)?.toString('latin1') ?? '');
  }

  #read(name: string): Buffer | undefined {
    const file = this.#files.get(name);
    try {
      return file === undefined
        ? undefined
        : readSmallFile(this.#store, file, DESCRIPTOR_BYTES_MAX);
    } catch (error) {
      if (!(error instanceof LbsError)) throw error;
      return undefined;
    }
  }
}

/** Something that happened to a snapshot behind everybody's back. */
export function historyTrouble(snapshot: string, message: string): Damage {
  return { what: 'history', name: `snapshot-${snapshot}.lbs`, snapshot, message };
}

/**
 * The snapshots that a machine has seen and that are gone, or are other ones now, oldest first.
 * `forgotten` is asked for only when there are any.
 */
export async function missedSnapshots(
  stored: StoredDescriptors,
  seen: Iterable<readonly [name: string, sha256: string | undefined]>,
  forgotten: () => Promise<ForgottenSnapshots>,
): Promise<{ readonly troubles: Damage[]; readonly forgotten: string[] }> {
  const troubles: Damage[] = [];
  const gone: string[] = [];
  for (const [name, sha256] of [...seen].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const isThere = stored.has(name);
    if (isThere && sha256 === undefined) continue;
    const now = stored.digestOf(name);
    // One that is there and cannot be read is for others to tell of.
    if (isThere && (now === undefined || now === sha256)) continue;
    if ((await forgotten()).has({ name, sha256 })) gone.push(name);
    else troubles.push(historyTrouble(name, isThere ? REPLACED : goneWords(stored, name)));
  }
  return { troubles, forgotten: gone };
}

const REPLACED =
  'replaced: it is another descriptor than the one that this machine has seen here under this name (or it is damaged)';

function goneWords(stored: StoredDescriptors, name: string): string {
  const words = 'gone, and no note says that it was forgotten; this machine has seen it here';
  const newest = stored.ofScheme(parseSnapshotName(name)?.scheme).at(-1);
  if (newest === undefined) return `${words}. Of its scheme there is no snapshot any more`;
  if (newest > name) return words;
  return `${words}. Nothing in the store is newer: the store was rolled back, or its newest snapshots were removed`;
}

/** What is wrong with a snapshot's own name, and with what it says of the one before it. */
export function brokenLinks(
  stored: StoredDescriptors,
  { name, descriptor }: { readonly name: string; readonly descriptor: Descriptor },
  forgotten: ForgottenSnapshots,
): {
  readonly troubles: Damage[];
  /** The predecessor that is not here. */ readonly absent?: string;
} {
  const { name: own = name, previous, compactedFrom = name } = descriptor;
  if (own !== name) {
    const message = `replaced: it is the descriptor of snapshot ${showText(own)} under another name`;
    return { troubles: [historyTrouble(name, message)] };
  }
  if (previous === undefined) return { troubles: [] };
  if (previous.sha256 !== undefined && forgotten.has(previous)) return { troubles: [] };
  const { scheme } = parseSnapshotName(name) ?? {};
  // Compacting can give a snapshot the name that its predecessor had, and a copy has no notes of it.
  if (previous.name === name && compactedFrom > name) {
    return { troubles: [], absent: previous.name };
  }
  if (previous.name >= name || parseSnapshotName(previous.name)?.scheme !== scheme) {
    const message = `out of order: it says that ${showText(previous.name)} came before it`;
    return { troubles: [historyTrouble(name, message)] };
  }
  if (previous.sha256 === undefined) return { troubles: [] };
  if (!stored.has(previous.name)) return { troubles: [], absent: previous.name };
  const now = stored.digestOf(previous.name);
  if (now === undefined || now === previous.sha256) return { troubles: [] };
  if (stored.isMoved(previous.name)) return { troubles: [], absent: previous.name };
  const message = `replaced: it is another descriptor than the one that ${name} says it was made after (one of the two is damaged, or was replaced)`;
  return { troubles: [historyTrouble(previous.name, message)] };
}
