/** The script and the text that every store gets: written once, never changed. */
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { backupOptions, places, type Places } from '../helpers/places.ts';
import { PROJECT, lbsOk } from '../helpers/run-lbs.ts';

const SCRIPT = readFileSync(join(PROJECT, 'recovery', 'restore.sh'), 'utf8');

function namesBeside(store: string): string[] {
  return readdirSync(store)
    .filter((name) => /\.(sh|txt)$/.test(name))
    .sort();
}

async function backup(t: ExecutionContext, at: Places): Promise<void> {
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
}

test('the first backup puts restore.sh and README.txt into the store, later ones nothing', async (t) => {
  const at = places(t);
  await lbsOk(t, [...backupOptions(at), '-n', '.'], { cwd: at.tree });
  t.deepEqual(readdirSync(at.store), []);
  await backup(t, at);
  await backup(t, at);
  t.deepEqual(namesBeside(at.store), ['README.txt', 'restore.sh']);
  t.is(readFileSync(join(at.store, 'restore.sh'), 'utf8'), SCRIPT);
  const verified = await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
  t.regex(verified.stdout, /all is well/);
  t.false(verified.stdout.includes('restore.sh'));
});

test('a script that is missing is written again', async (t) => {
  const at = places(t);
  await backup(t, at);
  rmSync(join(at.store, 'restore.sh'));
  await backup(t, at);
  t.deepEqual(namesBeside(at.store), ['README.txt', 'restore.sh']);
});

test('a script of another release stays, and the new one gets a new name', async (t) => {
  const at = places(t);
  writeFileSync(join(at.store, 'restore.sh'), 'older');
  writeFileSync(join(at.store, 'restore-2.sh'), 'old');
  writeFileSync(join(at.store, 'README.txt'), 'older text');
  await backup(t, at);
  await backup(t, at);
  t.deepEqual(namesBeside(at.store), [
    'README-2.txt',
    'README.txt',
    'restore-2.sh',
    'restore-3.sh',
    'restore.sh',
  ]);
  t.is(readFileSync(join(at.store, 'README.txt'), 'utf8'), 'older text');
  t.is(readFileSync(join(at.store, 'restore-2.sh'), 'utf8'), 'old');
  t.is(readFileSync(join(at.store, 'restore.sh'), 'utf8'), 'older');
  t.is(readFileSync(join(at.store, 'restore-3.sh'), 'utf8'), SCRIPT);
});

test('every file that restore.sh and its text speak of is packaged', (t) => {
  const found: unknown = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8'));
  const files = typeof found === 'object' && found !== null && 'files' in found ? found.files : [];
  t.true(Array.isArray(files) && files.includes('recovery'));
});
