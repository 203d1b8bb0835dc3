/**
 * What a snapshot needs of the store that it is copied from: its segments and lists, and what is
 * known of their checksums. Called by sync.
 */
import { LbsError, messageOf } from '../errors.ts';
import { parseSegmentFile } from '../format/snapshot-name.ts';
import type { DecryptKey } from '../segments/decrypt-key.ts';
import { SegmentSource } from '../segments/segment-source.ts';
import {
  type OpenSnapshot,
  type SnapshotFile,
  openStored,
  storedDescriptor,
} from '../snapshots/open-snapshot.ts';
import type { Store, StoredFile } from '../stores/store.ts';
import { CopyTrouble, ofSource } from './copy-file.ts';
import type { Sums } from './examine-file.ts';
import { segmentListsAmong } from './read-segment-list.ts';
import {
  addSums,
  isLocked,
  listsOf,
  readList,
  type SumsSource,
  sumsOfList,
} from './snapshot-sums.ts';

export type NeededFile = { readonly file: StoredFile; readonly sums: Sums };

export type NeededFiles = {
  readonly segments: readonly NeededFile[];
  readonly lists: readonly NeededFile[];
};

export type SyncSourceOptions = {
  readonly verifyKey?: string | undefined;
  readonly unfilters?: ReadonlyMap<string, string> | undefined;
  readonly decryptKey?: DecryptKey | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly note: (message: string) => void;
};

export class SyncSource {
  readonly store: Store;
  readonly #source: SegmentSource;
  readonly #sums: SumsSource;
  readonly #options: SyncSourceOptions;

  constructor(store: Store, files: readonly StoredFile[], options: SyncSourceOptions) {
    this.store = store;
    this.#options = options;
    this.#source = new SegmentSource(store, options, files);
    const { signal } = options;
    this.#sums = { source: this.#source, segmentLists: segmentListsAmong(files), signal };
  }

  /** A snapshot with its descriptor as stored. @throws {LbsError} CopyTrouble, signature-*, format-version */
  async open(snapshot: SnapshotFile): Promise<{ opened: OpenSnapshot; stored: Buffer }> {
    const { verifyKey } = this.#options;
    return await ofSource(async () => {
      const stored = storedDescriptor(this.store, snapshot);
      const opened = await openStored(snapshot, stored, { verifyKey });
      if (opened.seal === 'broken') {
        throw new LbsError('checksum-mismatch', `${snapshot.file.name} is not as it was written`);
      }
      return { stored, opened };
    });
  }

  /** The file of a segment, whatever the lists say of it. */
  fileOf(segment: string): StoredFile | undefined {
    return this.#source.fileOf(segment);
  }

  /** The lists of a snapshot, without a look at them. @throws {LbsError} CopyTrouble */
  async lists(opened: OpenSnapshot): Promise<readonly NeededFile[]> {
    return await ofSource(() =>
      listsOf(opened, this.#sums).map((list) => ({
        file: this.#found(list.file),
        sums: sumsOfList(list),
      })),
    );
  }

  /** Everything but the descriptor, the lists checked. @throws {LbsError} CopyTrouble, interrupted */
  async needs(opened: OpenSnapshot): Promise<NeededFiles> {
    const lists = await this.lists(opened);
    const sums = await ofSource(() => this.#readLists(opened));
    const listed = new Map<string, string>();
    for (const file of sums.keys()) {
      const segment = parseSegmentFile(file)?.segment;
      if (segment !== undefined) listed.set(segment, file);
    }
    // Cut off before its seal, a descriptor can still be read.
    const named = new Set(opened.descriptor.segments);
    const strays = [...listed.keys()].filter((segment) => !named.has(segment)).length;
    if (strays > 0) {
      const message = `its checksums files list ${strays} segments that it does not name`;
      throw new CopyTrouble('format-syntax', message);
    }
    const segments = await ofSource(() =>
      opened.descriptor.segments.map((segment) => {
        const file = this.#fileListed(segment, listed.get(segment));
        return { file, sums: sums.get(file.name) ?? {} };
      }),
    );
    return { segments, lists };
  }

  async #readLists(opened: OpenSnapshot): Promise<Map<string, Sums>> {
    const sums = new Map<string, Sums>();
    for (const list of listsOf(opened, this.#sums)) {
      try {
        addSums(sums, await readList(this.#sums, list, opened.descriptor.segments.length));
      } catch (error) {
        if (!isLocked(list, error)) throw error;
        this.#options.note(
          `${list.file} cannot be read here, so its segments are held against the source only: ${messageOf(error)}`,
        );
      }
    }
    return sums;
  }

  /** Of several files of a segment the one that the lists name. */
  #fileListed(segment: string, listed: string | undefined): StoredFile {
    const any = this.#source.fileOf(segment);
    if (any !== undefined && (listed === undefined || any.name === listed)) return any;
    return this.#found(listed ?? `${segment}.tar`);
  }

  #found(name: string): StoredFile {
    const file = this.store.find(name);
    if (file !== undefined) return file;
    throw new CopyTrouble('store-missing-file', `${name} is missing in ${this.store.place}`);
  }
}
