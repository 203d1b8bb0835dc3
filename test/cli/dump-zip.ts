/**
 * `dump --format=zip`: what other people's programs extract is what restore puts back. Left out of
 * the comparison is what zip has no form for: fractions of a second, links between names,
 * attributes, holes, devices and their like, and the top. One test at a time: other people's programs
 * are waited for, and runs of lbs would meanwhile not be heard of.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { makeHardTree } from '../helpers/hard-tree.ts';
import { backupOptions, places, type Places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { lbsExits, lbsOk, restoreOk } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { SNAPSHOT, StanzaStore } from '../helpers/stanza-store.ts';
import { isRoot } from '../helpers/temp-dir.ts';
import { type FileRun, lbsToFile } from '../helpers/to-file.ts';
import { readTree, type TreeDifference, treeDifferences } from '../helpers/tree-state.ts';

const MIB = 1024 * 1024;
const NS_PER_S = 1_000_000_000n;
/** In 2038. */
const SECONDS_END = 2n ** 31n;
const ENV = { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8', TZ: 'UTC' };
const UNZIP = ['unzip', '-q', '-^', '-K', ...(isRoot ? ['-X'] : [])];

/** What a program says of an archive; it must end with `status`. */
function output(t: ExecutionContext, words: readonly string[], status = 0): string {
  const [program = '', ...args] = words;
  const run = spawnSync(program, args, { encoding: 'latin1', env: ENV, maxBuffer: 64 * MIB });
  t.is(run.status, status, `${words.join(' ')}: ${run.stdout.slice(0, 2000)}${run.stderr}`);
  return run.stdout + run.stderr;
}

function dumpZip(t: ExecutionContext, code: number, ...args: string[]): Promise<FileRun> {
  return lbsToFile(t, code, ['dump', '--format=zip', ...args]);
}

/** Names in the table of members. */
function namesIn(t: ExecutionContext, file: string): string[] {
  return output(t, ['zipinfo', '-1', file]).split('\n').slice(0, -1);
}

/** What differs of all that a zip archive can hold. */
function differences(
  restored: string,
  extracted: string,
  isCompared: (difference: TreeDifference) => boolean = () => true,
): string[] {
  const [wanted, found] = [readTree(restored), readTree(extracted)];
  return treeDifferences(wanted, found)
    .filter(({ path, field }) => {
      const [a, b] = [wanted.get(path), found.get(path)];
      if (/[psbc]/.test(a?.type ?? '') || path === '.' || path.endsWith('before 1970'))
        return false;
      if (field === 'mtimeNs' && a !== undefined && b !== undefined) {
        const second = a.mtimeNs / NS_PER_S;
        // Others have a time in DOS form, which programs put back in their ways.
        return second >= 0n && second < SECONDS_END && second !== b.mtimeNs / NS_PER_S;
      }
      return !['holes', 'links', 'sameAs', 'xattrs'].includes(field);
    })
    .filter(isCompared)
    .map(({ text }) => text);
}

/** A store of the hard tree, but for paths that are too long for the system. */
async function hardStore(t: ExecutionContext): Promise<Places> {
  const at = places(t);
  makeHardTree(at.tree);
  await lbsOk(t, [...backupOptions(at), '--exclude=/deep', '.'], { cwd: at.tree });
  return at;
}

test.serial('unzip extracts what restore puts back, and what cannot be is named', async (t) => {
  const at = await hardStore(t);
  const store = `--store=${at.store}`;
  const { file, stderr } = await dumpZip(t, 3, store, 'latest');
  t.regex(stderr, /^lbs: warning: socket: zip has no form for a socket; it is left out$/m);
  t.regex(stderr, /^lbs: warning: fifo: zip has no form for a fifo; it is left out$/m);
  t.regex(stderr, /^lbs: warning: names\/latin1-\\xe9: its name is not UTF-8, so that not all /m);
  t.notRegex(stderr, /: names\/[a-z ]+: /);
  if (isRoot) t.regex(stderr, /^lbs: warning: char device: zip has no form for a device; /m);
  await restoreOk(t, [store, 'latest', at.target]);
  const into = join(at.base, 'unzipped');
  output(t, [...UNZIP, file, '-d', into]);
  // It sets no times of symbolic links.
  const links = new Set(
    [...readTree(into)].filter(([, { type }]) => type === 'l').map(([at]) => at),
  );
  const isCompared = ({ path, field }: TreeDifference) => field !== 'mtimeNs' || !links.has(path);
  t.deepEqual(differences(at.target, into, isCompared), []);
});

test.serial('bsdtar extracts what restore puts back, and so it does from a pipe', async (t) => {
  const at = await hardStore(t);
  const store = `--store=${at.store}`;
  const { file } = await dumpZip(t, 3, store, 'latest');
  await restoreOk(t, [store, 'latest', at.target]);
  // It composes letters and accents, which makes one name of two.
  const isCompared = ({ path }: TreeDifference) => !/^names\/(e?\xcc\x81|\xc3\xa9)/.test(path);
  for (const [name, script] of [
    ['file', 'bsdtar -xpf "$0" -C "$1"'],
    ['pipe', 'cat "$0" | bsdtar -xf - -C "$1"'],
  ] as const) {
    const into = join(at.base, name);
    mkdirSync(into);
    output(t, ['/bin/sh', '-c', script, file, into]);
    // Types and modes are in the table, which it does not wait for in a pipe.
    const regular = [...readTree(at.target)].filter(([, { type }]) => type === 'f');
    const files = new Set(regular.map(([path]) => path));
    const inPipe = ({ path, field }: TreeDifference) =>
      files.has(path) && ['missing', 'size', 'content'].includes(field);
    const found = differences(
      at.target,
      into,
      (one) => isCompared(one) && (name === 'file' || inPipe(one)),
    );
    t.deepEqual(found, [], name);
  }
});

test.serial('the zipfile module of Python reads names, sizes and contents', async (t) => {
  if (spawnSync('python3', ['-c', 'import zipfile']).status !== 0) {
    t.log('left out: there is no python3');
    t.pass();
    return;
  }
  const at = places(t);
  makeFiles(at.tree, {
    'a/grüße': 'hello',
    'a/back\\slash': '1',
    'c:/x': '2',
    'empty/': '',
    large: pseudoRandom('large', 3 * MIB + 17),
    text: 'again and again '.repeat(200_000),
  });
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  const { file } = await dumpZip(t, 0, `--store=${at.store}`, 'latest');
  const program = [
    'import sys, zipfile',
    'z = zipfile.ZipFile(sys.argv[1])',
    'assert z.testzip() is None',
    'for i in z.infolist(): print(ascii(i.filename), i.file_size)',
  ].join('\n');
  const shown = output(t, ['python3', '-c', program, file]);
  t.deepEqual(shown.trimEnd().split('\n'), [
    "'a/' 0",
    "'a/back\\\\slash' 1",
    "'a/gr\\xfc\\xdfe' 5",
    "'c:/' 0",
    "'c:/x' 1",
    "'empty/' 0",
    `'large' ${3 * MIB + 17}`,
    "'text' 3200000",
  ]);
});

test.serial('parts of a snapshot are in the archive with the directories above them', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { 'a/b/one': '1', 'a/b/two': '2', 'a/c': '3', z: '4' });
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  const { file } = await dumpZip(t, 0, `--store=${at.store}`, 'latest', './a/b/two', 'z');
  t.deepEqual(namesIn(t, file), ['a/', 'a/b/', 'a/b/two', 'z']);
  const none = await dumpZip(t, 1, `--store=${at.store}`, 'latest', 'no/such');
  t.is(none.bytes.length, 0);
});

test.serial('a file of more than 4 GiB and what comes after it are read', async (t) => {
  const at = places(t);
  const sizeBytes = 4 * 1024 * MIB + 5;
  const made = new StanzaStore();
  made.add('.', 'd');
  made.add('huge', 'f', { data: `zero[${sizeBytes}]`, size: String(sizeBytes) });
  made.file('small', [Buffer.from('after it\n')]);
  made.write(at.store);
  const { file } = await dumpZip(t, 0, `--store=${at.store}`, SNAPSHOT);
  t.regex(output(t, ['zipinfo', file, 'huge']), / 4294967301 /);
  t.is(output(t, ['unzip', '-p', file, 'small']), 'after it\n');
  // From a pipe it has to find the end of the content, and the sizes behind it.
  t.is(output(t, ['/bin/sh', '-c', 'cat "$0" | bsdtar -tf -', file]), 'huge\nsmall\n');
});

test.serial('more members than 16 bits can count are all there', async (t) => {
  const at = places(t);
  const made = new StanzaStore();
  made.add('.', 'd');
  const names = Array.from(
    { length: 70_000 },
    (_, number) => `n${String(number).padStart(5, '0')}`,
  );
  for (const name of names) made.add(name, 'f', { size: '0' });
  made.write(at.store);
  const { file } = await dumpZip(t, 0, `--store=${at.store}`, SNAPSHOT);
  t.deepEqual(namesIn(t, file), names);
  output(t, ['unzip', '-tq', file]);
});

test.serial(
  'times before 1980, after 2107 and unknown ones, and unknown modes, do no harm',
  async (t) => {
    const at = places(t);
    const made = new StanzaStore();
    made.add('.', 'd');
    made.file('early', [Buffer.from('1')], { mtime: '-100' });
    made.file('late', [Buffer.from('2')], { mtime: '10413792000' });
    made.file('far', [Buffer.from('3')], { mtime: '-9007199254740991' });
    made.write(at.store);
    const { file } = await dumpZip(t, 0, `--store=${at.store}`, SNAPSHOT);
    const listed = output(t, ['zipinfo', '-T', file]);
    t.regex(listed, /19800101\.000000 early/);
    t.regex(listed, /21071231\.235958 late/);
    t.regex(listed, /19800101\.000000 far/);
  },
);

test.serial('damaged files are not in the table, and all others are whole', async (t) => {
  const at = places(t);
  const made = new StanzaStore();
  const [first, second] = [pseudoRandom('first', MIB), pseudoRandom('second', 70_000)];
  made.add('.', 'd');
  made.file('a', [Buffer.from('single block\n')]);
  made.file('b', [first, second]);
  made.file('c', [first, Buffer.from('all is well\n')]);
  made.write(at.store);
  const data = join(at.store, StanzaStore.dataFile);
  const bytes = readFileSync(data);
  bytes.write('Single', bytes.indexOf('single block'));
  const place = bytes.indexOf(second) + 100;
  bytes.writeUInt8(bytes.readUInt8(place) ^ 1, place);
  writeFileSync(data, bytes);
  const run = await dumpZip(t, 4, `--store=${at.store}`, SNAPSHOT);
  t.regex(run.stderr, /damaged: .*: a: .*checksum/);
  t.regex(run.stderr, /damaged: .*: b: .*it is left out of the archive's table of members/);
  t.deepEqual(namesIn(t, run.file), ['c']);
  output(t, ['unzip', '-tq', run.file]);
  // A reader that does not wait for the table is told by the checksum.
  const piped = ['/bin/sh', '-c', 'cat "$0" | bsdtar -xOf - b | wc -c; exit 0', run.file];
  t.regex(output(t, piped), /ZIP bad CRC/);
});

test.serial('--sparse is for tar', async (t) => {
  const run = await lbsExits(t, 2, ['dump', '--store=/x', '--format=zip', '--sparse', 'latest']);
  t.regex(run.stderr, /--sparse is for tar/);
});
