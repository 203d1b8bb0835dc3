/** Places that many tests of a file begin with: made once, and each test gets a copy. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { type Places, places } from './places.ts';
import { removeTree } from './temp-dir.ts';

const models = new Map<string, Promise<Places>>();

async function model(make: (at: Places) => Promise<void>): Promise<Places> {
  const base = mkdtempSync(join(tmpdir(), 'lbs-test-'));
  process.once('exit', () => removeTree(base));
  const place = (name: string) => join(base, name);
  const [tree, store, localdb] = [place('tree'), place('store'), place('localdb')];
  for (const dir of [tree, store, localdb]) mkdirSync(dir);
  const at = { base, tree, store, localdb, target: place('target') };
  await make(at);
  return at;
}

/**
 * Tree, store and local database as `make` leaves them, in places of this test. What `make` saves, it
 * must save by a relative path.
 */
export async function copiedPlaces(
  t: ExecutionContext,
  name: string,
  make: (at: Places) => Promise<void>,
): Promise<Places> {
  const known = models.get(name) ?? model(make);
  models.set(name, known);
  const [from, at] = [await known, places(t)];
  for (const dir of ['tree', 'store', 'localdb'] as const) {
    const { status } = spawnSync('cp', ['-a', `${from[dir]}/.`, at[dir]]);
    if (status !== 0) throw new Error(`cannot copy ${from[dir]}`);
  }
  return at;
}
