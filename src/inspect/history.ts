/** The versions of one path through all snapshots, for `lbs history`. */
import { LbsError } from '../errors.ts';
import type { ReadOptions } from '../restore/restore-options.ts';
import { normalisePath } from '../restore/select-paths.ts';
import { type BytePath, showPath } from '../std/byte-path.ts';
import { searchSnapshots } from './snapshot-search.ts';
import type { Version } from './version-table.ts';

export type HistoryOptions = ReadOptions & { readonly path: BytePath };

/** A stretch of snapshots of one scheme in which the path is the same, or is not there. */
export type Period = {
  /** Names of the first and the last of them. */
  readonly first: string;
  readonly last: string;
  /** Undefined while it was not there, after it was. */
  readonly version: Version | undefined;
};

/**
 * The periods of each scheme one after the other, oldest first.
 * @throws {LbsError} source-missing when no snapshot has the path; segment-corrupt when that is not
 * known; as `searchSnapshots`
 */
export async function history(options: HistoryOptions): Promise<Period[]> {
  const path = normalisePath(options.path);
  const { snapshots, versions, damaged } = await searchSnapshots(options, {
    path,
    isWanted: (entry) => normalisePath(entry.path).equals(path),
  });
  try {
    const held: (Version | undefined)[] = snapshots.map(() => undefined);
    for (const version of versions.versions()) {
      for (const at of version.snapshots) held[at] = version;
    }
    if (held.every((version) => version === undefined)) {
      if (damaged.size > 0) {
        const message = `${showPath(path)}: not found in what can be read of the snapshots`;
        throw new LbsError('segment-corrupt', message, {
          hint: 'it may be in the part that is damaged; "lbs verify" names all damage',
        });
      }
      const scheme = options.scheme === undefined ? '' : ` of the scheme "${options.scheme}"`;
      throw new LbsError('source-missing', `${showPath(path)} is in no snapshot${scheme}`, {
        hint: `look for it by its name: lbs find --store=${options.store} --name=PATTERN`,
      });
    }
    const schemes = new Set(snapshots.map(({ scheme }) => scheme));
    return [...schemes].flatMap((scheme) => {
      const states = snapshots.flatMap((file, at) =>
        // Nothing is known of a path that was not found in what could be read.
        file.scheme !== scheme || (damaged.has(at) && held[at] === undefined)
          ? []
          : [{ name: file.name, version: held[at] }],
      );
      return periodsOf(states);
    });
  } finally {
    versions.close();
  }
}

type State = { readonly name: string; readonly version: Version | undefined };

function periodsOf(states: readonly State[]): Period[] {
  const periods: Period[] = [];
  for (const { name, version } of states) {
    const current = periods.at(-1);
    if (current !== undefined && current.version === version) {
      periods[periods.length - 1] = { ...current, last: name };
    } else if (current !== undefined || version !== undefined) {
      periods.push({ first: name, last: name, version });
    }
  }
  return periods;
}
