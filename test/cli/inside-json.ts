/** `ls --json` and `stanza --json`: nothing of a name is lost, and places in the store are right. */
import { readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { backupOptions, places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { jsonLines, lbsExits, lbsOk } from '../helpers/run-lbs.ts';
import { segmentObjects } from '../helpers/segment-objects.ts';
import { makeFiles } from '../helpers/small-tree.ts';

const FIXTURES = fileURLToPath(new URL('../fixtures/stores', import.meta.url));

test('ls --json has the exact bytes of names and targets that are not UTF-8', async (t) => {
  const at = places(t);
  const odd = Buffer.from([0x6f, 0xff, 0x0a]);
  const path = (name: Buffer) => Buffer.concat([Buffer.from(`${at.tree}/`), name]);
  makeFiles(at.tree, { 'grün\n': 'x', '\ufeffmarked': 'z' });
  writeFileSync(path(odd), 'y');
  symlinkSync(odd, join(at.tree, 'link'));
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  const lines = jsonLines(await lbsOk(t, ['ls', '--json', `--store=${at.store}`, 'latest']));
  const [green, link, strange, marked, ...others] = lines;
  t.deepEqual(others, []);
  t.like(green, { path: 'grün\n', name: 'grün\n', path_escaped: undefined });
  t.like(link, { path: 'link', target: 'o\ufffd\n', target_escaped: 'o%ff%0a' });
  t.like(strange, { path: 'o\ufffd\n', path_escaped: 'o%ff%0a', name_escaped: 'o%ff%0a' });
  t.is(marked?.['path'], '\ufeffmarked', 'a byte order mark belongs to the name');
  const [stanza] = jsonLines(
    await lbsOk(t, ['stanza', '--json', `--store=${at.store}`, 'latest', odd]),
  );
  t.like(stanza, { path: 'o\ufffd\n', path_escaped: 'o%ff%0a', fields: { name: 'o%ff%0a' } });
});

test('stanza --json says where the stanza stands, also in a stretch of an older object', async (t) => {
  const at = places(t);
  const many = Array.from({ length: 900 }, (_, number) => [`many/${number}`, `${number}`]);
  makeFiles(at.tree, { ...Object.fromEntries(many), large: pseudoRandom('large', 3_000_000) });
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  makeFiles(at.tree, { 'many/5': 'changed', 'many/new': 'n' });
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  const objects = new Map<string, Buffer>();
  for (const file of readdirSync(at.store).filter((name) => name.endsWith('.tar.zst'))) {
    for (const [name, bytes] of segmentObjects(t, at.store, file)) objects.set(name, bytes);
  }
  for (const path of [
    '.',
    'large',
    'many/5',
    'many/50',
    'many/500',
    'many/6',
    'many/899',
    'many/new',
  ]) {
    const args = [`--store=${at.store}`, 'latest', path];
    const [found] = jsonLines(await lbsOk(t, ['stanza', '--json', ...args]));
    const { stdout } = await lbsOk(t, ['stanza', ...args]);
    t.like(found, { message_type: 'stanza', path, stanza: stdout, length: stdout.length });
    const start = Number(found?.['offset']);
    const stored = objects.get(String(found?.['object'])) ?? Buffer.alloc(0);
    t.is(stored.toString('latin1', start, start + stdout.length), stdout, path);
    const fields = Object.entries(found?.['fields'] ?? {});
    const lines = fields.map(([key, value]) => `${key}: ${value.replaceAll('\n', '\n    ')}\n`);
    t.is(`${lines.join('')}\n`, stdout);
  }
});

test('stanza --json reads what the original programs stored', async (t) => {
  const store = `--store=${join(FIXTURES, 'none', 'store')}`;
  const { stdout } = await lbsOk(t, ['ls', '-R', store, '20261120T113833']);
  const paths = stdout.split('\n').filter((path) => /^[\w./-]+$/.test(path));
  for (const path of paths.slice(0, 5)) {
    const args = ['stanza', '--json', store, '20261120T113833', path];
    const [found] = jsonLines(await lbsOk(t, args));
    t.like(found, { path, snapshot_id: '20261120T113833', fields: { name: path } });
  }
});

test('an error of stanza --json is JSON too', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { one: '1' });
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  const args = ['stanza', '--json', `--store=${at.store}`, 'latest', 'two'];
  t.like(jsonLines(await lbsExits(t, 1, args))[0], { message_type: 'exit_error', code: 1 });
});
