/**
 * A stat cache that lost records or was damaged on its disk. Whatever is in it, the snapshot must
 * be the tree; all that may be lost is time. The trailer is kept right, so that the cache is used.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { statCacheFile } from '../../src/localdb/stat-cache-place.ts';
import { backupOptions, clockAhead, places, type Places } from '../helpers/places.ts';
import { jsonMessage, lbs, lbsOk } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

const NAMES = Array.from({ length: 20 }, (_, number) => `f${10 + number}`);
const FILE_BYTES = 'content f10'.length;
const ALL = NAMES.length * FILE_BYTES;

function newPlaces(t: ExecutionContext): Places {
  const at = places(t);
  makeFiles(at.tree, Object.fromEntries(NAMES.map((name) => [name, `content ${name}`])));
  return at;
}

async function bytesRead(t: ExecutionContext, at: Places, aheadS: number): Promise<number> {
  const options = { cwd: at.tree, env: clockAhead(aheadS) };
  const run = await lbsOk(t, ['--json', ...backupOptions(at), '.'], options);
  const summary = jsonMessage(run, 'summary');
  t.is(Number(summary['content_added']), aheadS === 1000 ? ALL : 0);
  return Number(summary['bytes_read']);
}

async function checkLatest(t: ExecutionContext, at: Places): Promise<void> {
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  sameTree(t, readTree(at.tree), readTree(at.target));
}

/** Changes the text of the cache, and makes its trailer fit again. */
function change(at: Places, edit: (text: string) => string): void {
  const file = statCacheFile(at.localdb, undefined);
  const text = readFileSync(file, 'latin1');
  const changed = edit(text);
  if (changed === text) throw new Error('nothing was changed');
  const end = String(changed.lastIndexOf('\nroot ') + 1).padStart(16, '0');
  writeFileSync(file, changed.replace(/(?<=\ntrailer )\d{16}/, end), 'latin1');
}

/** Text without the records of `from` (included) to `to` (not included). */
function without(text: string, from: string, to: string): string {
  return text.slice(0, text.indexOf(`\n${from}\n`) + 1) + text.slice(text.indexOf(`\n${to}\n`) + 1);
}

const CASES: readonly (readonly [what: string, edit: (text: string) => string])[] = [
  ['that lost some records', (text) => without(text, 'f15', 'f20')],
  ['that lost its first file', (text) => without(text, 'f10', 'f11')],
  ['that lost the last records', (text) => text.replace(/\nf25\n[^]*\n(?=root )/, '\n')],
  ['that lost a line', (text) => text.replace(/\nf20\n.*\n/, '\nf20\n')],
  ['whose records are in a wrong order', (text) => text.replace('\nf15\n', '\nf99\n')],
  ['with records twice', (text) => text.replace(/\nf20\n(?:.+\n)+\n/, '$&$&')],
  ['that lost its first group line', (text) => text.replace(/\n@.*\n/, '\n')],
  ['that lost a root line', (text) => text.replace(/.*\[\d+\+\d+\]\n(?=trailer)/, '')],
  ['that lost an account', (text) => text.replace(/\naccount u.*\n/, '\n')],
];

for (const [what, edit] of CASES) {
  test(`a stat cache ${what} costs reading at most`, async (t) => {
    const at = newPlaces(t);
    await bytesRead(t, at, 1000);
    change(at, edit);
    t.true((await bytesRead(t, at, 2000)) <= ALL);
    await checkLatest(t, at);
    t.is(await bytesRead(t, at, 3000), 0);
  });
}

/** Damage within a record that still looks like one: a bad disk, or a crash of the machine. */
const FLIPS: readonly (readonly [what: string, edit: (text: string) => string])[] = [
  ['the place of a stanza', (text) => text.replace(/(?<=\nf20\n.*\n=)\d/, (digit) => String((Number(digit) + 1) % 10))],
  ['the length of a stanza', (text) => text.replace(/(?<=\nf20\n.*\n=\d+\+)\d/, (digit) => String((Number(digit) + 1) % 10))],
  ['the object of a group', (text) => text.replace(/(?<=\n@[0-9a-f-]{36}\/0000000)\d/, (digit) => String((Number(digit) + 1) % 10))],
  ['the name of a file', (text) => text.replace('\nf20\n', '\nf2!\n')],
]; // prettier-ignore

for (const [what, edit] of FLIPS) {
  test(`damage to ${what} in the stat cache does not get into a snapshot`, async (t) => {
    const at = newPlaces(t);
    await bytesRead(t, at, 1000);
    change(at, edit);
    // One file changes, so that the log is written anew.
    writeFileSync(join(at.tree, 'f10'), 'changed f10');
    const options = { cwd: at.tree, env: clockAhead(2000) };
    const run = await lbs(t, [...backupOptions(at), '.'], options);
    t.is(run.code, 0, run.stderr);
    await checkLatest(t, at);
  });
}
