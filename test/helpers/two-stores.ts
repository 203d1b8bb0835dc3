/**
 * A store with some snapshots, and a place for its copy; and damage to be done to files. The store
 * is made once for each kind and test file, since that takes longer than what most tests do with it.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { backupOptions, type Places } from './places.ts';
import { pseudoRandom } from './pseudo-random.ts';
import { jsonMessage, lbsOk, restoreOk } from './run-lbs.ts';
import { makeSmallTree } from './small-tree.ts';
import { snapshotNames } from './store-state.ts';
import { removeTree, tempDir } from './temp-dir.ts';
import { readTree, sameTree } from './tree-state.ts';

export type TwoStores = Places & {
  /** Empty at first. */
  readonly copy: string;
  /** The oldest first. */
  readonly snapshots: readonly string[];
};

/** Saves the tree once more; the name of the snapshot. */
export async function saveTree(
  t: ExecutionContext,
  at: Places,
  options: readonly string[] = [],
): Promise<string> {
  const args = [...backupOptions(at), '--json', ...options, 'tree'];
  const run = await lbsOk(t, args, { cwd: at.base });
  return String(jsonMessage(run, 'summary')['snapshot_id']);
}

function placesIn(base: string): TwoStores {
  const [tree = '', store = '', localdb = '', copy = '', target = ''] = [
    'tree',
    'store',
    'localdb',
    'copy',
    'target',
  ].map((name) => join(base, name));
  return { base, tree, store, localdb, copy, target, snapshots: [] };
}

/** Three snapshots of a small tree that changes; segments of all of them are shared. */
async function make(t: ExecutionContext, options: readonly string[]): Promise<string> {
  const base = mkdtempSync(join(tmpdir(), 'lbs-test-'));
  process.once('exit', () => removeTree(base));
  const at = placesIn(base);
  for (const dir of [at.tree, at.store, at.localdb, at.copy]) mkdirSync(dir);
  makeSmallTree(at.tree);
  for (const name of ['first', 'second', 'third']) {
    writeFileSync(join(at.tree, name), pseudoRandom(name, 20_000));
    await saveTree(t, at, options);
  }
  return base;
}

const made = new Map<string, Promise<string>>();

/** A store of three snapshots, and room for a second one, of this test alone. */
export async function twoStores(
  t: ExecutionContext,
  options: readonly string[] = [],
): Promise<TwoStores> {
  const key = options.join(' ');
  let model = made.get(key);
  if (model === undefined) made.set(key, (model = make(t, options)));
  const base = tempDir(t);
  copyTree(await model, base);
  const at = placesIn(base);
  return { ...at, snapshots: snapshotNames(at.store) };
}

/** Every snapshot of `store` is sound, and the latest gives back the tree. */
export async function isWhole(t: ExecutionContext, at: TwoStores, store: string): Promise<void> {
  await lbsOk(t, ['verify', `--store=${store}`, '--data']);
  t.deepEqual(snapshotNames(store), snapshotNames(at.store));
  rmSync(at.target, { recursive: true, force: true });
  await restoreOk(t, [`--store=${store}`, at.snapshots.at(-1) ?? '', at.target]);
  sameTree(t, readTree(at.tree), readTree(join(at.target, 'tree')));
}

/** One bit in the middle. */
export function flip(file: string): void {
  const bytes = readFileSync(file);
  const at = Math.floor(bytes.length / 2);
  bytes.writeUInt8((bytes[at] ?? 0) ^ 1, at);
  writeFileSync(file, bytes);
}

export const DAMAGES: Readonly<Record<string, (file: string) => void>> = {
  flipped: flip,
  truncated: (file) => truncateSync(file, Math.floor(readFileSync(file).length / 2)),
  longer: (file) => writeFileSync(file, 'more', { flag: 'a' }),
  deleted: (file) => rmSync(file),
};

/** Into a directory that exists; times are exact. */
export function copyTree(from: string, to: string): void {
  const { status, stderr } = spawnSync('cp', ['-a', `${from}/.`, to], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`cp -a ${from} ${to}: ${stderr}`);
}
