/** A backup whose local database is gone or damaged: said clearly, and a new one does. */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { backupOptions, places } from '../helpers/places.ts';
import { lbsExits, lbsOk } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';

test('a store with snapshots and no local database is remarked upon, and backed up to', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { one: '1' });
  const first = await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  t.notRegex(first.stderr, /no local database/);
  rmSync(at.localdb, { recursive: true });
  const second = await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  t.regex(second.stderr, /no local database in .*--localdb/s);
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
});

test('a damaged local database says how to begin a new one, and that way works', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { one: '1' });
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  const file = join(at.localdb, 'lbs-localdb.sqlite');
  writeFileSync(file, 'no database');
  const failed = await lbsExits(t, 1, [...backupOptions(at), '.'], { cwd: at.tree });
  t.true(failed.stderr.includes(`mv ${file} ${file}.damaged`), failed.stderr);
  rmSync(file);
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
});
