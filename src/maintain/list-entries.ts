/** The entries of a snapshot, for `lbs ls`: given out as they are read, so memory stays flat. */
import { LbsError } from '../errors.ts';
import type { Entry } from '../format/entry.ts';
import { readMetadata } from '../metadata/metadata-log-reader.ts';
import type { ReadOptions } from '../restore/restore-options.ts';
import { normalisePath, pathsToFind } from '../restore/select-paths.ts';
import { SegmentSource } from '../segments/segment-source.ts';
import { openSnapshot, resolveSnapshot } from '../snapshots/open-snapshot.ts';
import { type BytePath, isTop, isWithin, showPath } from '../std/byte-path.ts';
import { openStore } from '../stores/open-store.ts';

export type ListEntriesOptions = ReadOptions & {
  readonly snapshot: string;
  /** Only this path and what lies below it. */
  readonly path?: BytePath;
};

/**
 * Entries in the order of the snapshot. Damage of the metadata is reported, and what can be read
 * is still given.
 * @throws {LbsError} source-missing when `path` is not in the snapshot; as opening a snapshot does
 */
export async function* entries(options: ListEntriesOptions): AsyncGenerator<Entry> {
  const { scheme, verifyKey, signal, report } = options;
  const store = openStore(options.store);
  const file = resolveSnapshot(store, options.snapshot, { scheme });
  const { name, descriptor } = await openSnapshot(store, file, { verifyKey });
  const source = new SegmentSource(store, options.unfilters);
  const wanted = options.path === undefined ? undefined : normalisePath(options.path);
  let found = wanted === undefined || isTop(wanted);
  const log = readMetadata(source, descriptor, {
    signal,
    // Only our own descriptors have the SHA-256 of a checksums file, and a log in order.
    only:
      wanted === undefined || descriptor.checksumsSha256 === undefined
        ? undefined
        : pathsToFind([wanted]),
    onDamage: (message, { path }) =>
      report?.({
        type: 'damage',
        damage: {
          what: 'metadata',
          name,
          snapshot: name,
          message,
          ...(path === undefined ? {} : { path }),
        },
      }),
  });
  for await (const entry of log) {
    if (wanted !== undefined && !isWithin(normalisePath(entry.path), wanted)) continue;
    found = true;
    yield entry;
  }
  if (!found && wanted !== undefined) {
    throw new LbsError('source-missing', `${showPath(wanted)} is not in the snapshot ${name}`, {
      hint: `see what is in it: lbs ls --store=${options.store} ${name}`,
    });
  }
}
