import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  cpSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { type Entry, referencesOf } from '../../src/format/entry.ts';
import { verify } from '../../src/maintain/verify.ts';
import type { VerifyDepth, VerifySummary } from '../../src/maintain/verify-options.ts';
import { formatObjectName } from '../../src/format/reference.ts';
import { readMetadata } from '../../src/metadata/metadata-log-reader.ts';
import type { Damage } from '../../src/report.ts';
import { SegmentSource } from '../../src/segments/segment-source.ts';
import { listSnapshots, openSnapshot } from '../../src/snapshots/open-snapshot.ts';
import { openStore } from '../../src/stores/open-store.ts';
import {
  fileStanza,
  objectName,
  sha1,
  sha256,
  writeSegment,
  writeSnapshot,
} from '../helpers/hand-made-store.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const STORES = fileURLToPath(new URL('../fixtures/stores', import.meta.url));
const DEPTHS: readonly VerifyDepth[] = ['checksums', 'objects', 'data'];

function copyOf(t: ExecutionContext, fixture: string): string {
  const store = join(tempDir(t), 'store');
  cpSync(join(STORES, fixture, 'store'), store, { recursive: true });
  return store;
}

/** Verifies; checks that what is reported is what is in the summary. */
async function run(t: ExecutionContext, store: string, depth: VerifyDepth): Promise<VerifySummary> {
  const reported: Damage[] = [];
  const summary = await verify({
    store,
    depth,
    report: (event) => {
      if (event.type === 'damage') reported.push(event.damage);
    },
  });
  t.deepEqual(summary.damage, reported);
  return summary;
}

/** `snapshot path` of every entry that is said to be lost. */
function lostEntries({ damage }: VerifySummary): string[] {
  return damage
    .filter(({ what }) => what === 'entry')
    .map(({ snapshot, path }) => `${snapshot} ${path?.toString('latin1')}`)
    .sort();
}

function storeFiles({ damage }: VerifySummary): string[] {
  return damage
    .filter(({ what }) => what === 'store-file')
    .map(({ name }) => name)
    .sort();
}

/** `snapshot path` of every regular file that `isConcerned`, from the undamaged store. */
async function filesWith(
  fixture: string,
  isConcerned: (entry: Entry, objects: string[]) => boolean,
): Promise<string[]> {
  const store = openStore(join(STORES, fixture, 'store'));
  const source = new SegmentSource(store);
  const found: string[] = [];
  for (const snapshot of listSnapshots(store)) {
    const { descriptor } = await openSnapshot(store, snapshot);
    for await (const entry of readMetadata(source, descriptor)) {
      const objects = referencesOf(entry, descriptor.dialect).map((reference) =>
        reference.kind === 'object' ? `${reference.segment}/${reference.object}` : 'zero',
      );
      const name = `${snapshot.name} ${entry.path.toString('latin1')}`;
      if (entry.type === 'f' && isConcerned(entry, objects)) found.push(name);
    }
  }
  return found.sort();
}

/** An object of the first snapshot that the last one still needs. */
async function lastingObject(
  fixture: string,
): Promise<{ segment: string; object: number; file: string }> {
  const store = openStore(join(STORES, fixture, 'store'));
  const source = new SegmentSource(store);
  const snapshots = listSnapshots(store);
  const [first, last] = [snapshots[0], snapshots.at(-1)];
  if (first === undefined || last === undefined) throw new Error('an empty fixture');
  const { segments } = (await openSnapshot(store, first)).descriptor;
  const { descriptor } = await openSnapshot(store, last);
  for await (const entry of readMetadata(source, descriptor)) {
    for (const reference of referencesOf(entry, descriptor.dialect)) {
      if (reference.kind !== 'object' || !segments.includes(reference.segment)) continue;
      const { segment, object } = reference;
      return { segment, object, file: source.fileOf(segment)?.name ?? '' };
    }
  }
  throw new Error('the last snapshot shares nothing with the first');
}

/** Changes a byte of the data of an object in a bare tar file. */
function flipByteOf(file: string, member: string): void {
  flipByte(file, readFileSync(file).indexOf(member) + 512 + 5);
}

function flipByte(file: string, at: number): void {
  const bytes = readFileSync(file);
  bytes.writeUInt8((bytes[at] ?? 0) ^ 0xff, at);
  writeFileSync(file, bytes);
}

for (const depth of DEPTHS) {
  test(`${depth}: a flipped byte names the segment and exactly the files it costs`, async (t) => {
    const store = copyOf(t, 'none');
    const { segment, object, file } = await lastingObject('none');
    flipByteOf(join(store, file), formatObjectName(segment, object));
    const summary = await run(t, store, depth);
    t.deepEqual(storeFiles(summary), [file]);
    const expected = await filesWith('none', (_, objects) =>
      objects.includes(`${segment}/${object}`),
    );
    t.true(expected.length >= 3);
    t.deepEqual(lostEntries(summary), expected);
  });

  test(`${depth}: a missing segment names every file that needs it, in each snapshot`, async (t) => {
    const store = copyOf(t, 'none');
    const { segment, file } = await lastingObject('none');
    rmSync(join(store, file));
    const summary = await run(t, store, depth);
    t.deepEqual(storeFiles(summary), [file]);
    const needsIt = (_: Entry, objects: string[]) =>
      objects.some((name) => name.startsWith(`${segment}/`));
    t.deepEqual(lostEntries(summary), await filesWith('none', needsIt));
    t.regex(summary.damage[0]?.message ?? '', /missing/);
  });

  test(`${depth}: a truncated segment costs only the files whose objects are cut off`, async (t) => {
    const store = copyOf(t, 'none');
    const { segment, file } = await lastingObject('none');
    const bytes = readFileSync(join(store, file));
    // Objects 0 to 9 stay whole.
    const cut = bytes.indexOf(`${segment}/0000000a`) + 100;
    truncateSync(join(store, file), cut);
    const summary = await run(t, store, depth);
    t.deepEqual(storeFiles(summary), [file]);
    const isCut = (_: Entry, objects: string[]) =>
      objects.some((name) => {
        const [of, object] = name.split('/');
        return of === segment && Number(object) >= 10;
      });
    t.deepEqual(lostEntries(summary), await filesWith('none', isCut));
  });

  test(`${depth}: damage that a filter cannot get over is named with the filter's words`, async (t) => {
    const store = copyOf(t, '0.6');
    const { segment, file } = await lastingObject('0.6');
    flipByte(join(store, file), 20);
    const summary = await run(t, store, depth);
    t.deepEqual(storeFiles(summary), [file]);
    const needsIt = (_: Entry, objects: string[]) =>
      objects.some((name) => name.startsWith(`${segment}/`));
    t.deepEqual(lostEntries(summary), await filesWith('0.6', needsIt));
    const entry = summary.damage.find(({ what }) => what === 'entry');
    t.regex(entry?.message ?? '', /bzip2/);
  });

  test(`${depth}: an altered checksums file is named, and costs no file`, async (t) => {
    const store = copyOf(t, 'none');
    const sums = readdirSync(store).find((name) => name.endsWith('.sha1sums')) ?? '';
    appendFileSync(join(store, sums), `${'0'.repeat(40)} *x.tar\n`);
    const summary = await run(t, store, depth);
    t.deepEqual(storeFiles(summary), [sums]);
    t.deepEqual(lostEntries(summary), []);
  });

  test(`${depth}: a missing checksums file is named`, async (t) => {
    const store = copyOf(t, 'none');
    const sums = readdirSync(store).find((name) => name.endsWith('.sha1sums')) ?? '';
    rmSync(join(store, sums));
    t.deepEqual(storeFiles(await run(t, store, depth)), [sums]);
  });

  test(`${depth}: an unusable descriptor is named, and the other snapshots are verified`, async (t) => {
    const store = copyOf(t, 'none');
    const { segment, object, file } = await lastingObject('none');
    const descriptor = readdirSync(store).find((name) => name.endsWith('.lbs')) ?? '';
    writeFileSync(join(store, descriptor), 'Format: LBS Snapshot v0.6\n');
    flipByteOf(join(store, file), formatObjectName(segment, object));
    const summary = await run(t, store, depth);
    t.deepEqual(storeFiles(summary), [file, descriptor].sort());
    const concerned = await filesWith('none', (_, objects) =>
      objects.includes(`${segment}/${object}`),
    );
    const unread = descriptor.slice('snapshot-'.length, -'.lbs'.length);
    t.deepEqual(
      lostEntries(summary),
      concerned.filter((name) => !name.startsWith(unread)),
    );
    t.is(summary.snapshots.length, 3);
  });

  test(`${depth}: lost metadata is said to be lost, for each snapshot that needs it`, async (t) => {
    const store = copyOf(t, 'none');
    const newest = listSnapshots(openStore(store)).at(-1);
    const text = readFileSync(join(store, newest?.file.name ?? ''), 'latin1');
    const segment = /^Root: ([-0-9a-f]+)/m.exec(text)?.[1] ?? '';
    rmSync(join(store, `${segment}.tar`));
    const summary = await run(t, store, depth);
    t.deepEqual(storeFiles(summary), [`${segment}.tar`]);
    const metadata = summary.damage.filter(({ what }) => what === 'metadata');
    t.deepEqual(
      metadata.map(({ snapshot }) => snapshot),
      [newest?.name],
    );
  });
}

const MEBI = 1024 * 1024;

/** A file of five blocks, spread over segments so that they are not read in its order. */
function scattered(t: ExecutionContext, stanzaOf: (content: Buffer, blocks: Buffer[]) => string) {
  const store = tempDir(t);
  const blocks = [0, 1, 2, 3, 4].map((at) => randomBytes(at === 4 ? 1000 : MEBI));
  const zeros = Buffer.alloc(MEBI);
  const block = (at: number) => blocks[at] ?? zeros;
  const content = Buffer.concat([zeros, block(0), block(1), block(2), zeros, block(3), block(4)]);
  // The small file makes segment 2 come first.
  const small = randomBytes(10);
  const first = fileStanza('a', small, [objectName(2, 0)]);
  writeSegment(store, 1, [block(0), block(2), block(4)]);
  writeSegment(store, 2, [small, block(3), block(1)]);
  const log = first + stanzaOf(content, blocks);
  writeSegment(store, 3, [log, `@${objectName(3, 0)}(sha1=${sha1(log)})\n`]);
  writeSnapshot(store, {
    timestamp: '20261120T120000',
    root: objectName(3, 1),
    digits: [1, 2, 3],
    contentOf: (file) => readFileSync(join(store, file)),
  });
  return { store, content };
}

const SCATTERED_DATA = [
  `zero[${MEBI}]`,
  objectName(1, 0),
  objectName(2, 2),
  objectName(1, 1),
  `zero[${MEBI}]`,
  objectName(2, 1),
  objectName(1, 2),
];

test('a file whose blocks are read out of order is checked as a whole', async (t) => {
  const { store } = scattered(t, (content) => fileStanza('b', content, SCATTERED_DATA));
  t.deepEqual((await run(t, store, 'data')).damage, []);
  const wrong = scattered(t, (content) =>
    fileStanza('b', content, SCATTERED_DATA).replace(sha1(content), sha1('x')),
  );
  const summary = await run(t, wrong.store, 'data');
  t.deepEqual(lostEntries(summary), ['20261120T120000 b']);
  t.deepEqual(storeFiles(summary), []);
});

test('a file whose blocks are read out of order is checked by the SHA-256 of its blocks', async (t) => {
  const withBlocks = (blocks: Buffer[]) => {
    const digests = [0, 1, 2, 3, 4].map((at) => sha256(blocks[at] ?? ''));
    return ['-', ...digests.slice(0, 3), '-', ...digests.slice(3)].join(' ');
  };
  const stanza = (content: Buffer, digests: string) =>
    fileStanza('b', content, SCATTERED_DATA).replace(
      'checksum:',
      `block_sha256: ${digests}\nchecksum:`,
    );
  const good = scattered(t, (content, blocks) => stanza(content, withBlocks(blocks)));
  t.deepEqual((await run(t, good.store, 'data')).damage, []);
  const wrong = scattered(t, (content, blocks) =>
    stanza(content, withBlocks(blocks).replace(sha256(blocks[3] ?? ''), sha256('x'))),
  );
  t.deepEqual(lostEntries(await run(t, wrong.store, 'data')), ['20261120T120000 b']);
});

test('a file whose blocks are right and whose own checksum is not is told, as a restore would', async (t) => {
  const store = tempDir(t);
  const blocks = [randomBytes(MEBI), randomBytes(1000)];
  const content = Buffer.concat(blocks);
  const digests = blocks.map((block) => sha256(block)).join(' ');
  const log = fileStanza('b', content, [objectName(1, 0), objectName(1, 1)])
    .replace('checksum:', `block_sha256: ${digests}\nchecksum:`)
    .replace(sha256(content), sha256('x'));
  writeSegment(store, 1, blocks);
  writeSegment(store, 2, [log, `@${objectName(2, 0)}(sha1=${sha1(log)})\n`]);
  writeSnapshot(store, {
    timestamp: '20261120T120000',
    root: objectName(2, 1),
    digits: [1, 2],
    contentOf: (file) => readFileSync(join(store, file)),
  });
  t.deepEqual(lostEntries(await run(t, store, 'data')), ['20261120T120000 b']);
});

test('references to what is not there are found without hashing', async (t) => {
  const cases = {
    'an object that is missing': (data: string[]) => data.with(1, objectName(1, 9)),
    'a segment that is missing': (data: string[]) => data.with(1, objectName(9, 0)),
    'an object that is too short': (data: string[]) =>
      data.with(1, `${objectName(1, 2)}[0+${MEBI}]`),
    'an object of another size': (data: string[]) => data.with(1, objectName(1, 2)),
    'an object of another size, asserted': (data: string[]) =>
      data.with(1, `${objectName(1, 0)}[=${MEBI}]`).with(2, `${objectName(2, 2)}[=1000]`),
    'an object with another checksum': (data: string[]) =>
      data.with(1, `${objectName(1, 0)}(sha1=${sha1('x')})`),
    'sizes that do not add up': (data: string[]) => data.slice(1),
    'what is no reference': (data: string[]) => data.with(1, 'nonsense'),
  };
  for (const [title, change] of Object.entries(cases)) {
    const { store } = scattered(t, (content) => fileStanza('b', content, change(SCATTERED_DATA)));
    const summary = await run(t, store, 'objects');
    t.deepEqual(lostEntries(summary), ['20261120T120000 b'], title);
  }
});

test('a snapshot whose files are all shared is checked with the others', async (t) => {
  const { store } = scattered(t, (content) => fileStanza('b', content, SCATTERED_DATA));
  const descriptor = readFileSync(join(store, 'snapshot-20261120T120000.lbs'));
  for (const kind of ['sha1sums', 'sha256sums']) {
    const sums = readFileSync(join(store, `snapshot-20261120T120000.${kind}`));
    writeFileSync(join(store, `snapshot-20261121T120000.${kind}`), sums);
  }
  writeFileSync(join(store, 'snapshot-20261121T120000.lbs'), descriptor);
  t.deepEqual((await run(t, store, 'data')).damage, []);
  const segment = readdirSync(store).find((name) => name.startsWith('1')) ?? '';
  flipByte(join(store, segment), 600);
  const summary = await run(t, store, 'checksums');
  t.deepEqual(lostEntries(summary), ['20261120T120000 b', '20261121T120000 b']);
});

test('a descriptor that has lost a part of its segments is named', async (t) => {
  const store = copyOf(t, 'none');
  const descriptor = readdirSync(store).find((name) => name.endsWith('.lbs')) ?? '';
  const text = readFileSync(join(store, descriptor), 'latin1');
  writeFileSync(join(store, descriptor), text.slice(0, text.indexOf('Segments:')));
  t.deepEqual(storeFiles(await run(t, store, 'checksums')), [descriptor]);
});

test('an unknown snapshot is an error, a named one is verified alone', async (t) => {
  const store = copyOf(t, 'none');
  const summary = await verify({ store, snapshots: ['latest', 'latest~1'] });
  t.is(summary.snapshots.length, 2);
  await t.throwsAsync(verify({ store, snapshots: ['nope'] }), { code: 'snapshot-missing' });
  await t.throwsAsync(verify({ store, snapshots: ['2026'] }), { code: 'snapshot-ambiguous' });
});

test('an interrupt ends a verification', async (t) => {
  const controller = new AbortController();
  controller.abort();
  const store = copyOf(t, 'none');
  const { signal } = controller;
  await t.throwsAsync(verify({ store, depth: 'data', signal }), { code: 'interrupted' });
});
