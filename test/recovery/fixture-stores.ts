/** Stores of the programs before this one: restore.sh brings back every snapshot of them. */
import { spawn } from 'node:child_process';
import { copyFileSync, cpSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { isAsExpected } from '../helpers/expected-tree.ts';
import { expectedEntries, fixtureKeys, FIXTURES } from '../helpers/fixture-stores.ts';
import { places } from '../helpers/places.ts';
import { PROJECT } from '../helpers/run-lbs.ts';
import { isRoot } from '../helpers/temp-dir.ts';
import { readTree } from '../helpers/tree-state.ts';

const SCRIPT = join(PROJECT, 'recovery', 'restore.sh');
/** LBS_TEST_ALL=1 takes every snapshot. */
const ALL = process.env['LBS_TEST_ALL'] === '1';
const keys = fixtureKeys();
test.after.always(() => keys.remove());

function restoreScript(args: readonly string[], env: Record<string, string>) {
  return new Promise<{ code: number | null; output: string }>((resolve) => {
    const child = spawn('sh', args, { env: { PATH: process.env['PATH'], ...keys.env, ...env } });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (bytes: Buffer) => (output += String(bytes)));
    }
    child.on('close', (code) => resolve({ code, output }));
  });
}

for (const fixture of FIXTURES) {
  // Every second one in CI: the first, and one that refers to metadata of others.
  const chosen = fixture.snapshots.filter((_, at) => at % 2 === 0 || ALL);
  test(`restore.sh restores snapshots of the store ${fixture.name}`, async (t) => {
    const at = places(t);
    cpSync(fixture.store, at.store, { recursive: true });
    copyFileSync(SCRIPT, join(at.store, 'restore.sh'));
    const listed = await restoreScript([join(at.store, 'restore.sh')], {});
    for (const snapshot of chosen) {
      t.true(listed.output.includes(`\n${snapshot} `), listed.output);
      const target = join(at.base, snapshot);
      const args = [join(at.store, 'restore.sh'), snapshot, target];
      const { code, output } = await restoreScript(args, {});
      // What is left out is sockets, and for ordinary users devices.
      t.is(code, 3, output);
      const expected = expectedEntries(fixture, snapshot).filter(({ type }) => type !== 's');
      if (isRoot) t.is(output.match(/^left out: /gm)?.length, 1, output);
      t.false(/damaged|note: there are no checksums/.test(output), output);
      isAsExpected(t, target, readTree(target), expected);
    }
  });
}
