/** Verifying stores of Cumulus 0.11, whose checksums are in a filtered list beside each snapshot. */
import { createHash } from 'node:crypto';
import { cpSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import test, { type ExecutionContext } from 'ava';
import { verify } from '../../src/maintain/verify.ts';
import type { VerifyDepth } from '../../src/maintain/verify-options.ts';
import { STORES } from '../helpers/fixture-stores.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const FIRST = '20261120T103726';
const SECOND = '20261120T103800';
const LIST = `snapshot-${FIRST}.meta`;
/** A segment with contents of files that the first two snapshots need. */
const DATA = 'd51d8e96-6614-4dac-93e9-cbe18410f1fc';

/** A copy of the store without filter. */
function copy(t: ExecutionContext): string {
  const store = join(tempDir(t), 'store');
  cpSync(join(STORES, 'none-structured', 'store'), store, { recursive: true });
  return store;
}

/** What is found in the first snapshot: `FILE: message`. */
async function found(store: string, depth: VerifyDepth = 'checksums'): Promise<string[]> {
  const { damage } = await verify({ store, depth, snapshots: [FIRST] });
  return damage.map(({ what, name, path, message }) =>
    what === 'entry' ? `${what} ${String(path)}` : `${name}: ${message}`,
  );
}

/** Puts another text in the place of the first snapshot's list, and into its descriptor. */
function replaceList(store: string, text: Buffer, file = LIST): void {
  rmSync(join(store, 'meta', LIST));
  writeFileSync(join(store, 'meta', file), text);
  const descriptor = join(store, 'snapshots', `snapshot-${FIRST}.cumulus`);
  const hex = createHash('sha224').update(text).digest('hex');
  const old = readFileSync(descriptor, 'utf8');
  writeFileSync(
    descriptor,
    old.replace(/^Segment-metadata: .*$/m, `Segment-metadata: sha224=${hex}`),
  );
}

const listText = (store: string) => readFileSync(join(store, 'meta', LIST), 'utf8');

test('nothing is found in a sound store, and every file of it is read', async (t) => {
  const { damage, storeFiles } = await verify({ store: copy(t) });
  t.deepEqual(damage, []);
  // Three descriptors, three lists and six segments.
  t.is(storeFiles, 12);
});

test('a flipped byte in a segment is found by the checksum in the list', async (t) => {
  const store = copy(t);
  const file = join(store, 'segments1', `${DATA}.tar`);
  const bytes = readFileSync(file);
  // Behind the last object, where nothing but the checksum of the file tells.
  bytes.writeUInt8(1, bytes.length - 1);
  writeFileSync(file, bytes);
  for (const depth of ['checksums', 'objects', 'data'] as const) {
    t.deepEqual((await found(store, depth)).slice(0, 1), [
      `${DATA}.tar: its sha224 checksum does not match`,
    ]);
  }
});

test('a missing segment is found, and named with the files that it costs', async (t) => {
  const store = copy(t);
  rmSync(join(store, 'segments1', `${DATA}.tar`));
  const [first, ...rest] = await found(store);
  t.is(first, `${DATA}.tar: missing`);
  t.true(rest.length > 10 && rest.every((line) => line.startsWith('entry ')), rest.join('\n'));
});

test('a segment may have been moved to another directory of the store', async (t) => {
  const store = copy(t);
  renameSync(join(store, 'segments1', `${DATA}.tar`), join(store, `${DATA}.tar`));
  t.deepEqual(await found(store, 'data'), []);
});

test('a list that is missing or changed is damage, and the segments are looked at all the same', async (t) => {
  const changed = copy(t);
  writeFileSync(join(changed, 'meta', LIST), listText(changed).replace('data_size', 'data_sizf'));
  t.deepEqual(await found(changed, 'data'), [`${LIST}: it is not as the descriptor says`]);
  const missing = copy(t);
  rmSync(join(missing, 'meta', LIST));
  t.deepEqual(await found(missing, 'data'), [
    `${LIST}: missing, though the descriptor has its checksum`,
  ]);
});

test('a list that is no list is damage', async (t) => {
  const store = copy(t);
  replaceList(store, Buffer.from(listText(store).replaceAll('sha224=', 'md5=')));
  const [line, ...rest] = await found(store);
  t.regex(line ?? '', /\.meta: unknown checksum algorithm in "md5=/);
  t.deepEqual(rest, []);
});

test('a list with a segment that the descriptor does not name is damage', async (t) => {
  const store = copy(t);
  const stray = '3527fbd6-cf99-4022-ba41-7d0b14364227';
  const second = readFileSync(join(store, 'meta', `snapshot-${SECOND}.meta`), 'utf8');
  const stanza = second.split('\n\n').find((text) => text.includes(`segment: ${stray}`));
  replaceList(store, Buffer.from(`${listText(store)}${stanza}\n\n`));
  const lines = await found(store);
  t.is(lines.length, 1);
  t.regex(lines[0] ?? '', /list 1 segments that it does not name/);
});

test('a list unpacks through its reverse filter, and only to a bounded size', async (t) => {
  const store = copy(t);
  const text = listText(store);
  replaceList(store, gzipSync(text), `${LIST}.gz`);
  t.deepEqual(await found(store), []);
  const endless = copy(t);
  const bomb = gzipSync(Buffer.alloc(1 << 20, '\n'));
  replaceList(endless, bomb, `${LIST}.gz`);
  const [line] = await found(endless);
  t.regex(line ?? '', /it is too large/);
});

test('a list whose filter is not known names the option', async (t) => {
  const store = copy(t);
  replaceList(store, Buffer.from('x'), `${LIST}.own`);
  await t.throwsAsync(found(store), { code: 'filter-missing', message: /no reverse filter/ });
  const unfilters = new Map([['.own', `cat > /dev/null; cat '${join(STORES, 'none-structured', 'store', 'meta', LIST)}'`]]); // prettier-ignore
  const { damage } = await verify({ store, unfilters, snapshots: [FIRST] });
  t.deepEqual(damage, []);
});
