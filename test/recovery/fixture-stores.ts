/** Stores of the programs before this one: restore.sh brings back their snapshots. */
import { appendFileSync, cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { isAsExpected } from '../helpers/expected-tree.ts';
import { expectedEntries, fixtureKeys, FIXTURES } from '../helpers/fixture-stores.ts';
import { gpg, gpgHome } from '../helpers/gpg-home.ts';
import { places } from '../helpers/places.ts';
import { runScript } from '../helpers/restore-script.ts';
import { isRoot } from '../helpers/temp-dir.ts';
import { readTree } from '../helpers/tree-state.ts';

/** LBS_TEST_ALL=1 takes every snapshot. */
const ALL = process.env['LBS_TEST_ALL'] === '1';
const keys = fixtureKeys();
test.after.always(() => keys.remove());

for (const fixture of FIXTURES) {
  // Every second one in CI: the first, and one that refers to metadata of others.
  const chosen = fixture.snapshots.filter((_, at) => at % 2 === 0 || ALL);
  test(`restore.sh restores snapshots of the store ${fixture.name}`, async (t) => {
    const at = places(t);
    const listed = await runScript(fixture.store, []);
    for (const snapshot of fixture.snapshots) t.true(listed.output.includes(`\n${snapshot} `));
    for (const snapshot of chosen) {
      const target = join(at.base, snapshot);
      const { code, output } = await runScript(fixture.store, [snapshot, target], keys);
      // What is left out is the socket, and for ordinary users devices.
      t.is(code, 3, output);
      if (isRoot) t.is(output.match(/^left out: /gm)?.length, 1, output);
      t.false(/damaged|note: there are no checksums/.test(output), output);
      const expected = expectedEntries(fixture, snapshot).filter(({ type }) => type !== 's');
      isAsExpected(t, target, readTree(target), expected);
    }
  });
}

test('restore.sh tells whether the descriptor has a good signature', async (t) => {
  const fixture = FIXTURES.find(({ name }) => name === 'gpg-signed');
  const [snapshot = ''] = fixture?.snapshots ?? [];
  const at = places(t);
  cpSync(fixture?.store ?? '', at.store, { recursive: true });
  const { env } = gpgHome(t);
  const unknown = await runScript(at.store, [snapshot, `${at.target}0`], { env });
  t.is(unknown.code, 3);
  t.regex(unknown.output, /^note: the descriptor is signed, which could not be checked: .*No public key/m); // prettier-ignore
  t.is(gpg({ env }, ['--import', join(fixture?.dir ?? '', 'keys', 'public.asc')]).code, 0);
  const descriptor = join(at.store, `snapshot-${snapshot}.lbs`);
  const text = readFileSync(descriptor, 'utf8');
  // What stands around the signed text is not signed, and counts for nothing.
  writeFileSync(descriptor, `Format: none\nRoot: 0/0\n\n${text}\nRoot: 0/0\n`);
  const good = await runScript(at.store, [snapshot, `${at.target}1`], { env });
  t.is(good.code, 3, good.output);
  t.regex(good.output, /^The descriptor has a good signature by: /m);
  const listed = await runScript(at.store, []);
  t.regex(listed.output, new RegExp(`^${snapshot} +20\\d\\d-`, 'm'));
  writeFileSync(descriptor, text.replace('Scheme: signed', 'Scheme: sighed'));
  const bad = await runScript(at.store, [snapshot, `${at.target}2`], { env });
  t.is(bad.code, 4, bad.output);
  t.regex(bad.output, /^damaged: the signature of the descriptor is wrong/m);
});

test('restore.sh names a list of segments of Cumulus 0.11 that was changed', async (t) => {
  const fixture = FIXTURES.find(({ name }) => name === 'none-structured');
  const [snapshot = ''] = fixture?.snapshots ?? [];
  const at = places(t);
  cpSync(fixture?.store ?? '', at.store, { recursive: true });
  appendFileSync(join(at.store, 'meta', `snapshot-${snapshot}.meta`), '\n');
  const { code, output } = await runScript(at.store, [snapshot, at.target]);
  t.is(code, 4, output);
  t.true(output.includes(`damaged: snapshot-${snapshot}.meta is not as the descriptor says`));
});
