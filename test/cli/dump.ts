/**
 * `dump`: other people's programs read the archive, and what they extract is what restore puts back.
 * Holes are not compared, because tar has zeros for them; nor sockets, which it has no form for.
 */
import { spawnSync } from 'node:child_process';
import { linkSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import '../helpers/on-disk.ts';
import { makeHardTree } from '../helpers/hard-tree.ts';
import { backupOptions, places, type Places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { cleanEnvironment, lbsOk, PROJECT, restoreOk } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { SNAPSHOT, StanzaStore } from '../helpers/stanza-store.ts';
import { lbsToFile } from '../helpers/to-file.ts';
import { readTree, type TreeDifference, treeDifferences } from '../helpers/tree-state.ts';

const MIB = 1024 * 1024;
const FIXTURES = fileURLToPath(new URL('../fixtures/stores', import.meta.url));
const GNU_TAR = ['tar', '--xattrs', '--xattrs-include=*', '-xpf'];

/** Extracts an archive into a new directory; what the program said. */
function extract(words: readonly string[], archive: string, into: string): string {
  mkdirSync(into);
  const [program = '', ...args] = words;
  const env = { PATH: process.env['PATH'], LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8' };
  const run = spawnSync(program, [...args, archive, '-C', into], { encoding: 'utf8', env });
  if (run.status !== 0) throw new Error(`${words.join(' ')}: ${run.status}: ${run.stderr}`);
  return run.stderr;
}

/** Differences that tar is to blame for are left out. */
function differences(
  restored: string,
  extracted: string,
  isCompared: (difference: TreeDifference) => boolean = () => true,
): string[] {
  const [wanted, found] = [readTree(restored), readTree(extracted)];
  return treeDifferences(wanted, found)
    .filter(({ path, field }) => field !== 'holes' && wanted.get(path)?.type !== 's')
    .filter(isCompared)
    .map(({ text }) => text);
}

/** A store of the hard tree, but for paths that are too long for the system, and so for tar. */
async function hardStore(t: ExecutionContext): Promise<Places> {
  const at = places(t);
  makeHardTree(at.tree);
  await lbsOk(t, [...backupOptions(at), '--exclude=/deep', '.'], { cwd: at.tree });
  return at;
}

test('GNU tar extracts what restore puts back', async (t) => {
  const at = await hardStore(t);
  const store = `--store=${at.store}`;
  const { file, stderr } = await lbsToFile(t, 3, ['dump', store, 'latest']);
  t.is(stderr, 'lbs: warning: socket: tar has no form for a socket; it is left out\n');
  await restoreOk(t, [store, 'latest', at.target]);
  const said = extract(GNU_TAR, file, join(at.base, 'gnu'));
  t.deepEqual(differences(at.target, join(at.base, 'gnu')), []);
  t.notRegex(said, /Ignoring|[Mm]alformed|unknown|xattr/);
});

test('bsdtar extracts what restore puts back', async (t) => {
  const at = await hardStore(t);
  const store = `--store=${at.store}`;
  const { file } = await lbsToFile(t, 3, ['dump', store, 'latest']);
  await restoreOk(t, [store, 'latest', at.target]);
  extract(['bsdtar', '-xpf'], file, join(at.base, 'bsd'));
  // It takes names of attributes as they stand, and those for access control lists from elsewhere.
  // Nor does it put back the time of the top, or see that a time before 1970 counts backwards.
  const isCompared = ({ field, path }: TreeDifference) =>
    field === 'xattrs'
      ? !/^xattrs\/(user|acl)/.test(path)
      : field !== 'mtimeNs' || !/^\.$|year 19|before 1970/.test(path);
  t.deepEqual(differences(at.target, join(at.base, 'bsd'), isCompared), []);
});

test('busybox tar extracts the same names, types and contents', async (t) => {
  const at = await hardStore(t);
  const store = `--store=${at.store}`;
  const { file } = await lbsToFile(t, 3, ['dump', store, 'latest']);
  await restoreOk(t, [store, 'latest', at.target]);
  extract(['busybox', 'tar', '-xpf'], file, join(at.base, 'busybox'));
  const fields = ['missing', 'extra', 'type', 'size', 'content', 'target', 'device', 'sameAs'];
  const isCompared = ({ field }: TreeDifference) => fields.includes(field);
  t.deepEqual(differences(at.target, join(at.base, 'busybox'), isCompared), []);
});

test('paths longer than the system takes are in the archive', async (t) => {
  const at = places(t);
  makeHardTree(at.tree);
  await lbsOk(t, [...backupOptions(at), 'deep'], { cwd: at.tree });
  const { file } = await lbsToFile(t, 0, ['dump', `--store=${at.store}`, 'latest', 'deep']);
  const list = (program: string) => {
    const run = spawnSync(program, ['-tf', file], { encoding: 'latin1', maxBuffer: 1 << 26 });
    t.is(run.status, 0, run.stderr);
    return run.stdout.split('\n').filter((name) => name !== '');
  };
  const ls = (await lbsOk(t, ['ls', '-R', `--store=${at.store}`, 'latest'])).stdout.split('\n');
  for (const program of ['tar', 'bsdtar']) {
    const names = list(program).map((name) => name.replace(/^\.\/$/, '.').replace(/\/$/, ''));
    t.deepEqual(names, ls.slice(0, -1), program);
  }
});

test('dump in a pipe to tar, of parts, is what restore of these parts is', async (t) => {
  const at = places(t);
  const files = {
    'a/b/one': pseudoRandom('one', 3 * MIB + 1),
    'a/b/two': '2',
    'a/c/three': pseudoRandom('three', 70_000),
    'a/d': '4',
    'x/y': '5',
    z: '6',
  };
  makeFiles(at.tree, files);
  linkSync(join(at.tree, 'a/b/one'), join(at.tree, 'a/c/same'));
  linkSync(join(at.tree, 'a/b/one'), join(at.tree, 'x/same'));
  spawnSync('chmod', ['0750', join(at.tree, 'a')]);
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  const store = `--store=${at.store}`;
  const script = 'set -o pipefail; "$@" | tar -xpf - -C "$0"';
  for (const [number, paths] of [[], ['.'], ['a'], ['a/c', 'x'], ['./a/b/two/', 'z']].entries()) {
    const [target, piped] = [join(at.base, `r${number}`), join(at.base, `t${number}`)];
    await restoreOk(t, [store, 'latest', target, ...paths]);
    mkdirSync(piped);
    const through = ['/bin/bash', '-c', script, piped];
    const run = await lbsOk(t, ['dump', store, '--format=tar', 'latest', ...paths], { through });
    t.is(run.stderr, '');
    t.deepEqual(differences(target, piped), [], paths.join(' '));
  }
});

test('files of segments that were filtered by other commands, and of several snapshots', async (t) => {
  const at = places(t);
  const filters = [
    ['--filter=bzip2 -c', '--filter-extension=.bz2'],
    ['--filter=gzip -c', '--filter-extension=.gz'],
    ['--segment-size=512k'],
  ];
  for (const [round, options] of filters.entries()) {
    for (let count = 0; count < 9; count++) {
      const name = `d${count % 4}/f${(count * 5 + round * 3) % 20}`;
      makeFiles(at.tree, { [name]: pseudoRandom(`${round} ${count}`, 300_000) });
    }
    // The same content at both ends of the tree.
    makeFiles(at.tree, { 'a first': `same ${round}`, 'z last': `same ${round}` });
    await lbsOk(t, [...backupOptions(at), ...options, '.'], { cwd: at.tree });
  }
  const { file } = await lbsToFile(t, 0, ['dump', `--store=${at.store}`, 'latest']);
  extract(GNU_TAR, file, at.target);
  t.deepEqual(differences(at.tree, at.target), []);
});

test('what the original programs stored is dumped too', async (t) => {
  for (const [fixture, snapshot] of [
    ['none', '20261120T113833'],
    ['0.6', 'home-20261120T113834'],
  ] as const) {
    const at = places(t);
    const store = `--store=${join(FIXTURES, fixture, 'store')}`;
    const { file } = await lbsToFile(t, 3, ['dump', store, snapshot]);
    const gnu = join(at.base, 'gnu');
    extract(GNU_TAR, file, gnu);
    await restoreOk(t, [store, snapshot, at.target]);
    t.deepEqual(differences(at.target, gnu), [], fixture);
  }
});

test('one damaged object costs the archive only the file that needs it', async (t) => {
  const at = places(t);
  const made = new StanzaStore();
  const [first, second] = [pseudoRandom('first', MIB), pseudoRandom('second', 70_000)];
  const links = { inode: '1/2', links: '2' };
  made.add('.', 'd');
  made.file('a', [Buffer.from('single block\n')], links);
  made.file('b', [first, second]);
  made.file('c', [Buffer.from('all is well\n')]);
  made.file('d', [Buffer.from('single block\n')], links);
  made.write(at.store);
  const data = join(at.store, StanzaStore.dataFile);
  const bytes = readFileSync(data);
  bytes.write('Single', bytes.indexOf('single block'));
  const place = bytes.indexOf(second) + 100;
  bytes.writeUInt8(bytes.readUInt8(place) ^ 1, place);
  writeFileSync(data, bytes);
  const run = await lbsToFile(t, 4, ['dump', `--store=${at.store}`, SNAPSHOT]);
  t.regex(run.stderr, /damaged: .*: a: .*checksum/);
  t.regex(run.stderr, /damaged: .*: b: .*its last 70000 bytes are zeros/);
  t.notRegex(run.stderr, /: [cd]: /);
  extract(GNU_TAR, run.file, at.target);
  const found = readTree(at.target);
  t.deepEqual([...found.keys()].sort(), ['.', 'b', 'c', 'd']);
  t.is(readFileSync(join(at.target, 'd'), 'utf8'), 'single block\n');
  t.true(readFileSync(join(at.target, 'b')).equals(Buffer.concat([first, Buffer.alloc(70_000)])));
  t.is(readFileSync(join(at.target, 'c'), 'utf8'), 'all is well\n');
});

test('names that would lead out of the directory are left out and told', async (t) => {
  const at = places(t);
  const made = new StanzaStore();
  made.add('.', 'd');
  for (const name of ['../out', '/etc/out', 'a/../../out']) made.file(name, [Buffer.from('x')]);
  made.file('inside', [Buffer.from('y')]);
  made.write(at.store);
  const run = await lbsToFile(t, 4, ['dump', `--store=${at.store}`, SNAPSHOT]);
  t.is(spawnSync('tar', ['-tf', run.file], { encoding: 'utf8' }).stdout, './\ninside\n');
  t.is(run.stderr.match(/damaged: /g)?.length, 3, run.stderr);
});

test('large numbers, negative times and long names are what GNU tar and bsdtar read', async (t) => {
  const at = places(t);
  const made = new StanzaStore();
  const long = `${'long '.repeat(30)}é`;
  const odd = Buffer.concat([Buffer.alloc(250, 0xff), Buffer.from('/x')]);
  made.add('.', 'd');
  made.add('dev', 'c', { device: '70000000/80000000', user: '4000000000', group: '3000000' });
  made.add('link', 'l', { target: encodeURI(long).replaceAll('%C3%A9', '%c3%a9') });
  made.file(long, [Buffer.from('1')], { mtime: '-2040000000', mtime_ns: '5' });
  made.file('late', [Buffer.from('2')], { mtime: '10413792000', mtime_ns: '999999999' });
  made.add(odd.subarray(0, 250), 'd');
  made.file(odd, [Buffer.from('3')], { user: `7 (${'u'.repeat(40)})` });
  made.write(at.store);
  const { file } = await lbsToFile(t, 0, ['dump', `--store=${at.store}`, SNAPSHOT]);
  const env = { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8', TZ: 'UTC' };
  const list = (...words: string[]) => {
    const [program = '', ...args] = words;
    const run = spawnSync(program, [...args, file], { encoding: 'latin1', env });
    t.is(run.status, 0, run.stderr);
    return run.stdout;
  };
  const gnu = list('tar', '--numeric-owner', '--full-time', '--quoting-style=literal', '-tvf');
  const line = (text: string) => gnu.split('\n').find((one) => one.includes(text)) ?? gnu;
  t.regex(line(' dev'), /^crw-r--r-- 4000000000\/3000000 +70000000,80000000 /);
  t.regex(line(' late'), /2299-12-31 23:59:59|2300-01-01 00:00:00/);
  t.regex(line(' late'), /\.999999999/);
  t.regex(gnu, /1905-05-10 21:20:0[01]\.\d+ long long/);
  t.true(gnu.includes(`link -> ${Buffer.from(long).toString('latin1')}`), gnu);
  t.true(gnu.includes(odd.toString('latin1')));
  const names = list('bsdtar', '-tf');
  t.true(names.includes(Buffer.from(long).toString('latin1')), names);
});

test('an archive is not written to a terminal', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { one: '1' });
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  // script(1) gives the program a terminal.
  const run = (words: string) => {
    const command = `${join(PROJECT, 'bin', 'lbs')} ${words} --store=${at.store} latest`;
    const env = { ...cleanEnvironment(t), SHELL: '/bin/sh' };
    return spawnSync('script', ['-qec', command, '/dev/null'], { encoding: 'utf8', env });
  };
  const refused = run('dump');
  t.is(refused.status, 2);
  t.regex(refused.stdout, /not written to a terminal\r?\n.*tar xf/);
  const listed = run('ls');
  t.is(listed.stdout.trim(), 'one', 'the terminal works');
});
