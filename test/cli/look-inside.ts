/** `ls`, `cat` and `stanza`: what is in a snapshot, without restoring it. */
import {
  appendFileSync,
  closeSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { backupOptions, places, type Places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { lbsExits, lbsOk } from '../helpers/run-lbs.ts';
import { segmentObjects } from '../helpers/segment-objects.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { SNAPSHOT, StanzaStore } from '../helpers/stanza-store.ts';
import { lbsToFile } from '../helpers/to-file.ts';

const MIB = 1024 * 1024;
const FIXTURES = fileURLToPath(new URL('../fixtures/stores', import.meta.url));

async function backUp(t: ExecutionContext, at: Places, ...options: string[]): Promise<void> {
  await lbsOk(t, [...backupOptions(at), ...options, '.'], { cwd: at.tree });
}

/** Lines that `lbs ls` prints. */
async function listed(t: ExecutionContext, at: Places, ...args: string[]): Promise<string[]> {
  const { stdout } = await lbsOk(t, ['ls', `--store=${at.store}`, ...args]);
  return stdout.split('\n').slice(0, -1);
}

const FILES = { 'a/b/c/deep': '1', 'a/b/two': '2', 'a/one': '3', 'a-b': '4', top: '5', 'z/': '' };

test('ls shows what lies directly in a directory, and with -R everything', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  symlinkSync('a', join(at.tree, 'link'));
  await backUp(t, at);
  const top = ['a', 'a-b', 'link', 'top', 'z'];
  t.deepEqual(await listed(t, at, 'latest'), top);
  t.deepEqual(await listed(t, at, 'latest', '.'), top);
  t.deepEqual(await listed(t, at, 'latest', 'a'), ['a/b', 'a/one']);
  t.deepEqual(await listed(t, at, 'latest', './a//b/'), ['a/b/c', 'a/b/two']);
  t.deepEqual(await listed(t, at, 'latest', 'z'), []);
  t.deepEqual(await listed(t, at, 'latest', 'a-b'), ['a-b']);
  t.deepEqual(await listed(t, at, 'latest', 'link'), ['link'], 'a link is not followed');
  const below = ['a', 'a/b', 'a/b/c', 'a/b/c/deep', 'a/b/two', 'a/one'];
  t.deepEqual(await listed(t, at, '-R', 'latest', 'a'), below);
  t.deepEqual(await listed(t, at, '-R', 'latest'), ['.', ...below, 'a-b', 'link', 'top', 'z']);
  const long = await listed(t, at, '-l', 'latest', 'a');
  t.regex(long[1] ?? '', /^-rw-.* 1 .* a\/one$/);
});

test('ls of one directory agrees with -R in a store of many snapshots and in old ones', async (t) => {
  const at = places(t);
  for (let round = 0; round < 3; round++) {
    const names = Array.from({ length: 400 }, (_, n) => `d${n % 7}/e${n % 3}/file ${round} ${n}`);
    makeFiles(at.tree, Object.fromEntries(names.map((name) => [name, name])));
    makeFiles(at.tree, { [`d3/only ${round}`]: '' });
    await backUp(t, at);
  }
  const stores: [string, ...string[]][] = [
    [at.store],
    [join(FIXTURES, '0.6/store'), '--scheme=home'],
    [join(FIXTURES, 'none/store')],
  ];
  for (const [store, ...options] of stores) {
    const ls = async (...args: string[]) => {
      const run = await lbsOk(t, ['ls', `--store=${store}`, ...options, ...args]);
      return run.stdout.split('\n').slice(0, -1);
    };
    const all = await ls('-R', 'latest');
    for (const dir of ['.', all[2] ?? '', 'links', 'd3', 'd3/e1']) {
      if (!all.includes(dir)) continue;
      const prefix = dir === '.' ? '' : `${dir}/`;
      const isDirect = (path: string) =>
        path !== '.' && path.startsWith(prefix) && !path.includes('/', prefix.length);
      const isDirectory = all.some((path) => path !== '.' && path.startsWith(prefix));
      if (isDirectory) t.deepEqual(await ls('latest', dir), all.filter(isDirect), dir);
    }
  }
});

const CONTENTS: Readonly<Record<string, Buffer>> = {
  small: Buffer.from('Dear reader,\n'),
  empty: Buffer.alloc(0),
  one: pseudoRandom('one', MIB),
  several: pseudoRandom('several', 5 * MIB + 17),
  zeros: Buffer.alloc(3 * MIB + 5),
};

async function catsAll(t: ExecutionContext, at: Places): Promise<void> {
  const store = `--store=${at.store}`;
  for (const [name, content] of Object.entries(CONTENTS)) {
    const run = await lbsToFile(t, 0, ['cat', store, 'latest', name]);
    t.true(run.bytes.equals(content), name);
    t.is(run.stderr, '');
  }
  const names = Object.keys(CONTENTS).reverse();
  const all = await lbsToFile(t, 0, ['cat', store, 'latest', ...names, 'small']);
  const wanted = [...names, 'small'].map((name) => CONTENTS[name] ?? Buffer.alloc(0));
  t.true(all.bytes.equals(Buffer.concat(wanted)), 'several, in the order asked for');
}

for (const options of [
  [],
  ['--filter=bzip2 -c', '--filter-extension=.bz2'],
  ['--segment-size=512k'],
]) {
  test(`cat gives the content of files of any size: ${options.join(' ')}`, async (t) => {
    const at = places(t);
    makeFiles(at.tree, CONTENTS);
    await backUp(t, at, ...options);
    await catsAll(t, at);
    // Blocks of one file in the segments of two snapshots.
    const grown = Buffer.concat([
      CONTENTS['several'] ?? Buffer.alloc(0),
      pseudoRandom('more', 2 * MIB),
    ]);
    appendFileSync(join(at.tree, 'several'), grown.subarray(5 * MIB + 17));
    await backUp(t, at, ...options);
    const run = await lbsToFile(t, 0, ['cat', `--store=${at.store}`, 'latest', 'several']);
    t.true(run.bytes.equals(grown));
  });
}

test('cat writes holes as zeros', async (t) => {
  const at = places(t);
  const fd = openSync(join(at.tree, 'sparse'), 'w');
  ftruncateSync(fd, 4 * MIB + 12345);
  writeSync(fd, 'data', 2 * MIB + 65536);
  closeSync(fd);
  await backUp(t, at);
  const run = await lbsToFile(t, 0, ['cat', `--store=${at.store}`, 'latest', 'sparse']);
  t.true(run.bytes.equals(readFileSync(join(at.tree, 'sparse'))));
});

test('cat reads what the original programs wrote', async (t) => {
  const store = join(FIXTURES, 'none', 'store');
  const expected: { entries: { path: string; type: string; sha256?: string; size: number }[] } =
    JSON.parse(readFileSync(join(FIXTURES, 'none', '20261120T113833.expected.json'), 'utf8'));
  const { createHash } = await import('node:crypto');
  const files = expected.entries.filter(({ path, type }) => type === 'f' && !path.includes('%'));
  t.true(files.length > 3);
  for (const { path, sha256 } of files.slice(0, 12)) {
    const run = await lbsToFile(t, 0, ['cat', `--store=${store}`, '20261120T113833', path]);
    t.is(createHash('sha256').update(run.bytes).digest('hex'), sha256 ?? '', path);
  }
});

/** A store of unfiltered segments where `victim` has a wrong byte in its last block. */
function damagedStore(store: string, blocks: readonly Buffer[]): void {
  const made = new StanzaStore();
  made.add('.', 'd');
  made.file('fine', [Buffer.from('all is well\n')]);
  made.file('victim', blocks);
  made.write(store);
  const file = join(store, StanzaStore.dataFile);
  const bytes = readFileSync(file);
  const at = bytes.indexOf(blocks.at(-1) ?? '') + 7;
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  writeFileSync(file, bytes);
}

test('cat cuts damaged content off before, says so and exits with 4', async (t) => {
  const first = pseudoRandom('first', MIB);
  const cases: [Buffer[], Buffer][] = [
    [[Buffer.from('a single block\n')], Buffer.alloc(0)],
    [[first, pseudoRandom('second', 70_000)], first],
  ];
  for (const [blocks, written] of cases) {
    const at = places(t);
    damagedStore(at.store, blocks);
    const args = ['cat', `--store=${at.store}`, SNAPSHOT];
    const run = await lbsToFile(t, 4, [...args, 'victim', 'fine']);
    t.true(run.bytes.equals(written));
    t.regex(run.stderr, /victim: .*checksum/);
    t.is(String((await lbsToFile(t, 0, [...args, 'fine'])).bytes), 'all is well\n');
  }
});

test('cat of a file whose segment is gone names it and exits with 4', async (t) => {
  const at = places(t);
  makeFiles(at.tree, CONTENTS);
  await backUp(t, at, '--segment-size=512k');
  const { rmSync } = await import('node:fs');
  for (const file of readdirSync(at.store)) {
    const isSegment = file.endsWith('.tar.zst');
    const isData =
      isSegment && ![...segmentObjects(t, at.store, file).values()].some((o) => o[0] === 0x40);
    if (isData) rmSync(join(at.store, file));
  }
  const run = await lbsToFile(t, 4, ['cat', `--store=${at.store}`, 'latest', 'several']);
  t.is(run.bytes.length, 0);
  t.regex(run.stderr, /several: .*missing/);
});

test('a reader of cat that goes away is no error', async (t) => {
  const at = places(t);
  makeFiles(at.tree, CONTENTS);
  await backUp(t, at);
  const through = ['/bin/sh', '-c', '{ "$@"; echo "code $?" >&2; } | head -c 3', 'sh'];
  const run = await lbsOk(t, ['cat', `--store=${at.store}`, 'latest', 'zeros'], { through });
  t.is(run.stdout, '\0\0\0');
  t.is(run.stderr, 'code 0\n');
});

test('what is written to a full device fails, short as it may be', async (t) => {
  const at = places(t);
  makeFiles(at.tree, CONTENTS);
  await backUp(t, at);
  const through = ['/bin/sh', '-c', 'exec "$@" > /dev/full', 'sh'];
  const store = `--store=${at.store}`;
  for (const args of [['cat', store, 'latest', 'small'], ['list', store, '--json'], ['--help']]) {
    const run = await lbsExits(t, 1, args, { through });
    t.regex(run.stderr, /standard output/);
  }
});

test('stanza prints exactly what is stored', async (t) => {
  const at = places(t);
  const odd = Buffer.from([0xff, 0x0a, 0x80]);
  makeFiles(at.tree, { ...FILES, 'large file': pseudoRandom('large', 3 * MIB) });
  writeFileSync(Buffer.concat([Buffer.from(`${at.tree}/`), odd]), 'x');
  await backUp(t, at);
  makeFiles(at.tree, { 'a/later': 'in the second snapshot only' });
  await backUp(t, at);
  const segments = readdirSync(at.store).filter((file) => file.endsWith('.tar.zst'));
  const texts = segments.flatMap((file) =>
    [...segmentObjects(t, at.store, file).values()].map((bytes) => bytes.toString('latin1')),
  );
  const names: [string | Buffer, string][] = [
    ['.', '.'],
    ['./a//b/', 'a/b'],
    ['a/b/c/deep', 'a/b/c/deep'],
    ['a/later', 'a/later'],
    ['large file', 'large%20file'],
    [odd, '%ff%0a%80'],
  ];
  for (const [path, written] of names) {
    const run = await lbsToFile(t, 0, ['stanza', `--store=${at.store}`, 'latest', path]);
    const stanza = run.bytes.toString('latin1');
    t.true(stanza.startsWith(`name: ${written}\n`), stanza);
    t.regex(stanza, /^\S[^]*[^\n]\n\n$/);
    const isStored = (text: string) =>
      text.startsWith(stanza) || text.includes(`\n\n${stanza}`) || text.includes(`\n${stanza}`);
    t.true(texts.some(isStored), stanza);
  }
  t.regex(
    (await lbsOk(t, ['stanza', `--store=${at.store}`, 'latest', 'large file'])).stdout,
    /^block_sha256: /m,
  );
});

test('stanza prints what the original programs stored', async (t) => {
  const store = join(FIXTURES, 'none', 'store');
  const args = ['stanza', `--store=${store}`, '20261120T113833'];
  const { stdout } = await lbsOk(t, ['ls', '-R', `--store=${store}`, '20261120T113833']);
  const tars = readdirSync(store).filter((file) => file.endsWith('.tar'));
  const all = tars.map((file) => readFileSync(join(store, file), 'latin1')).join('');
  const paths = stdout.split('\n').filter((path) => /^[\w./-]+$/.test(path));
  t.true(paths.length > 5);
  for (const path of paths.slice(0, 8)) {
    const run = await lbsOk(t, [...args, path]);
    t.regex(run.stdout, new RegExp(`^(name|path): ${path.replaceAll('.', '\\.')}$`, 'm'));
    t.true(all.includes(run.stdout), path);
  }
});

test('wrong use of cat, stanza, dump and ls is told, with its exit code', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  symlinkSync('a/one', join(at.tree, 'link'));
  await backUp(t, at);
  const store = `--store=${at.store}`;
  const cases: [number, RegExp, ...string[]][] = [
    [2, /no snapshot given/, 'cat', store],
    [2, /no path given/, 'cat', store, 'latest'],
    [2, /no path given/, 'stanza', store, 'latest'],
    [2, /too many/, 'stanza', store, 'latest', 'a', 'top'],
    [2, /no snapshot given/, 'dump', store],
    [2, /--format=rar is not known/, 'dump', store, '--format=rar', 'latest'],
    [2, /a is a directory, not a regular file\n.*lbs dump/, 'cat', store, 'latest', 'a'],
    [2, /link is a symbolic link to a\/one/, 'cat', store, 'latest', 'link'],
    [2, /a is a directory/, 'cat', store, 'latest', 'top', 'a'],
    [2, /"lbs cat" has no --json\n.* is content/, 'cat', store, 'latest', 'top', '--json'],
    [2, /"lbs dump" has no --json\n.* is content/, 'dump', store, 'latest', '--json'],
    [2, /--(dest|store)/, 'dump', 'latest'],
    ...['cat', 'stanza', 'dump', 'ls'].flatMap((command): [number, RegExp, ...string[]][] => [
      [1, /no\/such is not in the snapshot/, command, store, 'latest', 'no/such'],
      [1, /link\/x is not in the snapshot/, command, store, 'latest', 'link/x'],
      [1, /to is not in the snapshot/, command, store, 'latest', 'to'],
      [10, /20010101T000000/, command, store, '20010101T000000', 'top'],
      [10, /nowhere/, command, `--store=${at.base}/nowhere`, 'latest', 'top'],
    ]),
  ];
  for (const [code, words, ...args] of cases) {
    const run = await lbsExits(t, code, args);
    if (!args.includes('--json')) t.is(run.stdout, '', args.join(' '));
    t.regex(run.stderr, words);
    t.notRegex(run.stderr, /^\s+at .*:\d+/m, 'a stack trace is for bugs');
  }
});
