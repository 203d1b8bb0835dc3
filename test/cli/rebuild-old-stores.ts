/**
 * Stores of the original programs are gone on with: their local databases are gone, ours is made from
 * the store, and what they hold is not stored again.
 */
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { isAsExpected } from '../helpers/expected-tree.ts';
import {
  expectedEntries,
  type FixtureStore,
  fixtureKeys,
  FIXTURES,
  schemeOf,
  someFixtures,
} from '../helpers/fixture-stores.ts';
import { clockAhead, places, type Places } from '../helpers/places.ts';
import { jsonMessage, lbsExits, lbsOk, restoreOk } from '../helpers/run-lbs.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

const keys = fixtureKeys();
const { env } = keys;
test.after.always(() => keys.remove());

/** Places with a copy of the fixture's store, and its last snapshot of a scheme as the tree. */
async function continued(
  t: ExecutionContext,
  fixture: FixtureStore,
  snapshot: string,
): Promise<Places> {
  const at = places(t);
  cpSync(fixture.store, at.store, { recursive: true });
  await restoreOk(t, [`--store=${at.store}`, '--numeric-owner', snapshot, at.tree], { env });
  return at;
}

async function backup(
  t: ExecutionContext,
  at: Places,
  scheme: string,
  aheadS: number,
): Promise<Record<string, unknown>> {
  const where = [`--dest=${at.store}`, `--localdb=${at.localdb}`];
  const named = scheme === '' ? [] : [`--scheme=${scheme}`];
  const options = { cwd: at.tree, env: { ...env, ...clockAhead(aheadS) } };
  return jsonMessage(await lbsOk(t, ['--json', ...where, ...named, '.'], options), 'summary');
}

const rebuildOf = (at: Places) => ['rebuild', `--store=${at.store}`, `--localdb=${at.localdb}`];

function filesIn(at: Places): number {
  return [...readTree(at.tree).values()].filter(({ type }) => type === 'f').length;
}

for (const fixture of someFixtures(1)) {
  const { name, snapshots } = fixture;
  const lasts = new Map(snapshots.map((snapshot) => [schemeOf(snapshot), snapshot]));
  for (const [scheme, last] of lasts) {
    test(`${name}, scheme "${scheme}": is gone on with, and stores nothing again`, async (t) => {
      const at = await continued(t, fixture, last);
      await lbsOk(t, rebuildOf(at), { env });
      const first = await backup(t, at, scheme, 1000);
      t.is(first['content_added'], 0, JSON.stringify(first));
      // Of empty ones and of those that are all zeros there is nothing to know.
      t.true(Number(first['files_unmodified']) >= filesIn(at) - 2, JSON.stringify(first));
      const second = await backup(t, at, scheme, 2000);
      // One file is of the future, and read every time.
      t.true(Number(second['bytes_read']) <= 20, JSON.stringify(second));
      // The digest of its block is not learnt where the reference may be to a part of one.
      t.true(Number(second['content_added']) <= 20, JSON.stringify(second));
      await lbsOk(t, ['verify', `--store=${at.store}`, '--data'], { env });
      // All others were read by verify.
      const old = snapshots[0] ?? '';
      const target = join(at.base, old);
      await restoreOk(t, [`--store=${at.store}`, '--numeric-owner', old, target], { env });
      isAsExpected(t, target, readTree(target), expectedEntries(fixture, old));
      const made = String(second['snapshot_id']);
      await restoreOk(t, [`--store=${at.store}`, made, at.target], { env });
      sameTree(t, readTree(at.tree), readTree(at.target));
    });
  }
}

test('a database that is lost once more is made again, and nothing is stored again', async (t) => {
  for (const name of ['0.6', '0.11']) {
    const fixture = FIXTURES.find((each) => each.name === name);
    const last = fixture?.snapshots.at(-1) ?? '';
    if (fixture === undefined) throw new Error(`no fixture ${name}`);
    const at = await continued(t, fixture, last);
    await lbsOk(t, rebuildOf(at));
    await backup(t, at, schemeOf(last), 1000);
    for (const file of readdirSync(at.localdb)) rmSync(join(at.localdb, file));
    await lbsOk(t, rebuildOf(at));
    t.is((await backup(t, at, schemeOf(last), 2000))['content_added'], 0);
    await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
  }
});

test('what changed since is stored, also at the same size, and a copy elsewhere is found', async (t) => {
  const fixture = FIXTURES.find((each) => each.name === '0.6');
  const last = fixture?.snapshots.at(-1) ?? '';
  if (fixture === undefined) throw new Error('no fixture 0.6');
  const at = await continued(t, fixture, last);
  await lbsOk(t, rebuildOf(at));
  const [path = '', { size = 0 } = {}] =
    [...readTree(at.tree)].find(([, { type, size: length = 0 }]) => type === 'f' && length > 999) ??
    [];
  const file = join(at.tree, path);
  const before = readFileSync(file);
  writeFileSync(file, Buffer.from(before).fill(1, 0, 10));
  const added = Number((await backup(t, at, schemeOf(last), 1000))['content_added']);
  t.true(added > 0 && added <= size, `${added} of ${size}`);
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
  await restoreOk(t, [`--store=${at.store}`, 'latest', at.target]);
  sameTree(t, readTree(at.tree), readTree(at.target));
});

test('cleaning leaves alone what it knows nothing of', async (t) => {
  const fixture = FIXTURES.find((each) => each.name === '0.6');
  const last = fixture?.snapshots.at(-1) ?? '';
  if (fixture === undefined) throw new Error('no fixture 0.6');
  const at = await continued(t, fixture, last);
  await lbsOk(t, rebuildOf(at));
  const clean = ['clean', `--store=${at.store}`, `--localdb=${at.localdb}`];
  await lbsOk(t, clean, { env: clockAhead(1000) });
  t.is((await backup(t, at, schemeOf(last), 2000))['content_added'], 0);
});

test('an encrypted store needs its key, and nothing is left where it is not', async (t) => {
  const fixture = FIXTURES.find((each) => each.name === 'gpg-encrypted');
  const at = places(t);
  cpSync(fixture?.store ?? '', at.store, { recursive: true });
  const run = await lbsExits(t, 12, rebuildOf(at), { env: { GNUPGHOME: at.tree } });
  t.regex(run.stderr, /key to this store is not here/);
  t.deepEqual(
    readdirSync(at.localdb).filter((file) => !file.endsWith('.lock')),
    [],
  );
});
