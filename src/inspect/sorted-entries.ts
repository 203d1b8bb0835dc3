/**
 * Entries of a snapshot in the order of paths, each path once.
 *
 * Called by diff. Logs that we wrote are in this order; the programs of 2007 to 2014 wrote the paths
 * that they were given in the order of their command line, and one path twice where two of them
 * overlapped. Those are put into a temporary database first; what is written later counts.
 */
import type { Entry } from '../format/entry.ts';
import { normalisePath } from '../restore/select-paths.ts';
import { type BytePath, bytePath, comparePaths, showPath } from '../std/byte-path.ts';
import { openScratchDatabase } from '../std/scratch-database.ts';
import { type Facts, factsOf } from './facts.ts';
import { pathKey } from './path-key.ts';

const CACHE_KIB = 8 * 1024;
const SCHEMA = `create table entries (key blob, path blob, facts text not null,
  primary key (key, path)) without rowid`;

/** One path and its state. */
export type PathFacts = { readonly path: BytePath; readonly facts: Facts };

/** Thrown where a log turns out not to be in the order of paths. */
export class OutOfOrder extends Error {
  constructor(path: BytePath) {
    super(`${showPath(path)} is not in its place in the order of paths`);
    this.name = 'OutOfOrder';
  }
}

/** The entries of a log that is in order. @throws {OutOfOrder} where it is not */
export async function* inOrder(log: AsyncIterable<Entry>): AsyncGenerator<PathFacts> {
  let last: BytePath | undefined;
  for await (const entry of log) {
    const path = normalisePath(entry.path);
    if (last !== undefined && comparePaths(last, path) >= 0) throw new OutOfOrder(path);
    last = path;
    yield { path, facts: factsOf(entry) };
  }
}

/** The entries of any log, put into order. */
export async function* sorted(log: AsyncIterable<Entry>): AsyncGenerator<PathFacts> {
  const db = openScratchDatabase(SCHEMA, CACHE_KIB);
  try {
    const add = db.prepare<[Buffer, Buffer, string]>(
      'insert or replace into entries values (?, ?, ?)',
    );
    for await (const entry of log) {
      const path = normalisePath(entry.path);
      add.run(pathKey(path), path, JSON.stringify(factsOf(entry)));
    }
    const all = db.prepare<[], { path: Buffer; facts: string }>(
      'select path, facts from entries order by key, path',
    );
    for (const { path, facts } of all.iterate()) {
      yield { path: bytePath(path), facts: JSON.parse(facts) };
    }
  } finally {
    db.close();
  }
}
