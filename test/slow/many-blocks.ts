/** A file with more blocks than a snapshot can list: half a million stretches between holes. */
import { closeSync, mkdirSync, openSync, readdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { backupOptions, places } from '../helpers/places.ts';
import { lbsExits, lbsOk } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';

const PAGE = Buffer.alloc(4096, 1);
const STRETCHES = 500_000;

test('a file of too many blocks is left out and named, and the snapshot can be read', async (t) => {
  const at = places(t);
  mkdirSync(at.tree, { recursive: true });
  makeFiles(at.tree, { other: 'other' });
  const fd = openSync(join(at.tree, 'many'), 'w');
  for (let n = 0; n < STRETCHES; n++) writeSync(fd, PAGE, 0, PAGE.length, 2 * n * PAGE.length);
  closeSync(fd);
  const run = await lbsExits(t, 3, ['-q', ...backupOptions(at), '.'], { cwd: at.tree });
  t.regex(run.stderr, /many: has more blocks than a snapshot can list/);
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  t.deepEqual(readdirSync(at.target), ['other']);
});
