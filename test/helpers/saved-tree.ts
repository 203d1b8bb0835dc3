/** A small tree with all kinds of entries that is in a store, for tests of restores. */
import { linkSync, symlinkSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { backupOptions, type Places, places } from './places.ts';
import { lbsOk, type Run } from './run-lbs.ts';
import { makeFiles } from './small-tree.ts';

/** Time of modification of the files whose time matters. */
export const SAVED_AT = new Date('2024-01-01T00:00:00Z');

/** The tree, saved by the names that it has below `tree`. */
export async function savedTree(t: ExecutionContext): Promise<Places> {
  const at = places(t);
  makeFiles(at.tree, {
    'home/ann/one': 'one\n',
    'home/ann/letters/a': 'letter a\n',
    'home/ann/letters/b.tmp': 'letter b\n',
    'home/ann/.cache/c': 'cached\n',
    'home/bea/big': Buffer.alloc(300_000, 'big '),
    'home/bea/empty/': '',
  });
  linkSync(join(at.tree, 'home/ann/one'), join(at.tree, 'home/bea/one-too'));
  symlinkSync('one', join(at.tree, 'home/ann/link'));
  for (const path of ['home/ann/one', 'home/ann/letters/a', 'home/bea/big']) {
    utimesSync(join(at.tree, path), SAVED_AT, SAVED_AT);
  }
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  return at;
}

/** `lbs restore` from the store, which must succeed. */
export const restore = (t: ExecutionContext, at: Places, ...args: string[]): Promise<Run> =>
  lbsOk(t, ['restore', `--store=${at.store}`, ...args]);

/** Lines of a dry run or a verbose run that are about entries. */
export const entryLines = (run: Run): string[] =>
  run.stdout.split('\n').filter((line) => line !== '' && !/^[A-Z][a-z ]+: /.test(line));
