/**
 * What the filesystem of the target refuses to take, or takes and does not keep, is told of and
 * nothing is lost without a word; one that takes everything gives no false alarm.
 */
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  closeSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import * as libc from '../../src/posix/libc.ts';
import '../helpers/on-disk.ts';
import { backupOptions, places, type Places } from '../helpers/places.ts';
import { jsonLines, lbs, lbsExits, lbsOk, type Run } from '../helpers/run-lbs.ts';
import { StanzaStore } from '../helpers/stanza-store.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import {
  type ImageOptions,
  isRoot,
  mountImage,
  mountTmpfs,
  ORDINARY_USER,
} from '../helpers/temp-dir.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const asRoot = isRoot ? test.serial : test.skip;

function setTime(path: string, ns: bigint): void {
  libc.setTimeAt(libc.AT_FDCWD, libc.cString(path), ns);
}

/** Of everything that some filesystem refuses, one. */
async function saveHardTree(t: ExecutionContext, at: Places): Promise<void> {
  makeFiles(at.tree, {
    README: 'upper',
    readme: 'lower',
    'Lib/x': 'in Lib',
    'lib/x': 'in lib',
    'lib/y': 'only in lib',
    'what: a name?': 'colon',
    'trail.': 'with a dot',
    trail: 'without a dot',
    'dots./x': 'in a directory with a dot',
    'mode-600': 'mode',
    owned: 'by somebody',
    old: 'of 1970',
    exact: 'to the nanosecond',
    first: 'has two names',
    attributed: 'has attributes',
  });
  chmodSync(join(at.tree, 'mode-600'), 0o600);
  if (isRoot) chownSync(join(at.tree, 'owned'), 12_345, 12_345);
  linkSync(join(at.tree, 'first'), join(at.tree, 'second'));
  symlinkSync('readme', join(at.tree, 'symlink'));
  spawnSync('mkfifo', [join(at.tree, 'fifo')]);
  const sparse = openSync(join(at.tree, 'sparse'), 'w');
  writeSync(sparse, 'begin', 0);
  writeSync(sparse, 'end', 2 * MIB);
  closeSync(sparse);
  truncateSync(join(at.tree, 'sparse'), 3 * MIB);
  libc.setXattr(libc.cString(join(at.tree, 'attributed')), Buffer.from('user.a'), Buffer.from('b'));
  // A time that FAT can hold, for all but those that are about times.
  for (const name of readdirSync(at.tree, { recursive: true })) {
    setTime(join(at.tree, String(name)), 1_000_000_000_000_000_000n);
  }
  setTime(at.tree, 1_000_000_000_000_000_000n);
  setTime(join(at.tree, 'old'), 5_000_000_000n);
  setTime(join(at.tree, 'exact'), 1_000_000_001_123_456_789n);
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
}

/** `code path` of each thing that was told of. */
function refusals(run: Run): string[] {
  return jsonLines(run)
    .filter((line) => line['message_type'] === 'error')
    .map((line) => `${String(line['code'])} ${String(line['item'])}`)
    .sort();
}

/** Every file is in the target under its very name, or it was told of. */
function nothingIsLost(t: ExecutionContext, at: Places, told: readonly string[]): void {
  const present = new Set(readdirSync(at.target, { recursive: true }).map(String));
  for (const entry of readdirSync(at.tree, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name).slice(at.tree.length + 1);
    const isTold = told.some(
      (line) => /^(?:name|special|write) /.test(line) && line.endsWith(` ${path}`),
    );
    if (isTold) continue;
    t.true(present.has(path), `${path} is neither there nor told of`);
    if (!entry.isFile() || !present.has(path)) continue;
    t.deepEqual(readFileSync(join(at.target, path)), readFileSync(join(at.tree, path)), path);
  }
}

async function restoreJson(t: ExecutionContext, at: Places): Promise<Run> {
  return lbs(t, ['restore', `--store=${at.store}`, '--json', '-v', 'latest', at.target]);
}

asRoot('what vfat refuses is told of, by kind, and nothing is lost without a word', async (t) => {
  const at = places(t);
  if (!mountImage(t, 'vfat', at.target)) return t.pass();
  await saveHardTree(t, at);
  const run = await restoreJson(t, at);
  t.is(run.code, 3, run.stderr);
  const told = refusals(run);
  nothingIsLost(t, at, told);
  const expected = [
    'name dots.',
    'name dots./x',
    'name lib',
    'name lib/x',
    'name lib/y',
    'name readme',
    'name trail.',
    'name what: a name?',
    'special fifo',
    'special symlink',
    'hard-link second',
    'holes sparse',
    'mode mode-600',
    'owner owned',
    'time exact',
    'time old',
    'xattr attributed',
  ];
  for (const line of expected) t.true(told.includes(line), `${line} in:\n${told.join('\n')}`);
  t.is(readFileSync(join(at.target, 'README'), 'utf8'), 'upper');
  await againTheSame(t, at, told);
});

/** A second run changes nothing, and tells of the same. */
async function againTheSame(
  t: ExecutionContext,
  at: Places,
  told: readonly string[],
): Promise<void> {
  const before = readTree(at.target);
  const again = await restoreJson(t, at);
  t.is(again.code, 3, again.stderr);
  // Whether holes are kept is only looked at where a file is written.
  const isAsked = (line: string) => !line.startsWith('holes ');
  t.deepEqual(refusals(again).filter(isAsked), told.filter(isAsked));
  const done = jsonLines(again).filter((line) => line['message_type'] === 'verbose_status');
  t.deepEqual(done, []);
  sameTree(t, before, readTree(at.target));
}

asRoot('what exfat refuses is told of, and nothing is lost without a word', async (t) => {
  const at = places(t);
  if (!mountImage(t, 'exfat', at.target)) return t.pass();
  await saveHardTree(t, at);
  const run = await restoreJson(t, at);
  t.is(run.code, 3, run.stderr);
  const told = refusals(run);
  nothingIsLost(t, at, told);
  for (const line of ['name readme', 'name lib', 'name lib/x', 'special symlink', 'holes sparse']) {
    t.true(told.includes(line), `${line} in:\n${told.join('\n')}`);
  }
  for (const line of ['mode mode-600', 'owner owned', 'time exact', 'xattr attributed']) {
    t.true(told.includes(line), `${line} in:\n${told.join('\n')}`);
  }
  await againTheSame(t, at, told);
});

asRoot('names that differ by case only collide loudly where there are links too', async (t) => {
  const at = places(t);
  const isThere =
    mountImage(t, 'ext4', at.target, { make: ['-O', 'casefold', '-E', 'encoding=utf8'] }) ||
    mountImage(t, 'jfs', at.target, { make: ['-q', '-O'] });
  if (!isThere) return t.pass();
  spawnSync('rm', ['-rf', join(at.target, 'lost+found')]);
  spawnSync('chattr', ['+F', at.target]);
  await saveHardTree(t, at);
  symlinkSync('upper', join(at.tree, 'LINK'));
  symlinkSync('lower', join(at.tree, 'link'));
  linkSync(join(at.tree, 'first'), join(at.tree, 'FIRST'));
  // Of the same content as the other, which is then all that is found in its place.
  makeFiles(at.tree, { TWIN: 'twin', twin: 'twin' });
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  const run = await restoreJson(t, at);
  t.is(run.code, 3, run.stderr);
  const told = refusals(run);
  nothingIsLost(t, at, told);
  const expected = ['lib', 'lib/x', 'lib/y', 'link', 'readme', 'twin'].map(
    (name) => `name ${name}`,
  );
  t.deepEqual(
    told.filter((line) => !/first/i.test(line)),
    expected,
  );
  t.is(told.length, expected.length + 1);
  await againTheSame(t, at, told);
});

asRoot('a file that is too large for vfat costs that file only', async (t) => {
  const at = places(t);
  if (!mountImage(t, 'vfat', at.target)) return t.pass();
  const store = new StanzaStore();
  const sizeBytes = 5 * KIB * MIB;
  store.add('.', 'd');
  store.add('huge', 'f', { data: `zero[${sizeBytes}]`, size: String(sizeBytes) });
  store.file('small', [Buffer.from('content')]);
  store.write(at.store);
  const run = await restoreJson(t, at);
  t.is(run.code, 3, run.stderr);
  t.true(refusals(run).includes('write huge'), run.stdout);
  t.true(run.stdout.includes('larger than a file can be on this filesystem'), run.stdout);
  t.deepEqual(readdirSync(at.target), ['small']);
});

const KEEPING: readonly [type: string, options: ImageOptions][] = [
  ['ext4', {}],
  ['xfs', { sizeBytes: 320 * MIB }],
  ['btrfs', { sizeBytes: 160 * MIB }],
];

for (const [type, options] of KEEPING) {
  asRoot(`${type} takes everything, and there is no false alarm`, async (t) => {
    const at = places(t);
    if (!mountImage(t, type, at.target, options)) return t.pass();
    await saveHardTree(t, at);
    // Its own directory, which the snapshot knows nothing of.
    const lost = join(at.target, 'lost+found');
    spawnSync('rm', ['-rf', lost]);
    const run = await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
    t.is(run.stderr, '');
    sameTree(t, readTree(at.tree), readTree(at.target));
  });
}

asRoot('tmpfs takes everything, and there is no false alarm', async (t) => {
  const at = places(t);
  mkdirSync(at.target);
  if (!mountTmpfs(at.target, 16 * MIB)) return t.pass('no mounts here');
  await saveHardTree(t, at);
  const run = await lbs(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  // tmpfs has attributes of users since Linux 6.6.
  const isNew = !run.stderr.includes('user.a');
  t.is(run.code, isNew ? 0 : 3, run.stderr);
  if (isNew) sameTree(t, readTree(at.tree), readTree(at.target));
});

asRoot('an ext4 that keeps whole seconds only is found out', async (t) => {
  const at = places(t);
  if (!mountImage(t, 'ext4', at.target, { make: ['-I', '128'] })) return t.pass();
  await saveHardTree(t, at);
  const run = await restoreJson(t, at);
  t.is(run.code, 3, run.stderr);
  t.deepEqual(refusals(run), ['time exact']);
});

asRoot('what is refused is grouped by kind, with examples and a count', async (t) => {
  const at = places(t);
  if (!mountImage(t, 'ext4', at.target, { make: ['-I', '128'] })) return t.pass();
  makeFiles(at.tree, Object.fromEntries(Array.from({ length: 12 }, (_, n) => [`file${n}`, 'x'])));
  for (let n = 0; n < 12; n++) setTime(join(at.tree, `file${n}`), 1_000_000_000_500_000_000n);
  setTime(at.tree, 1_000_000_000_000_000_000n);
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  const run = await lbsExits(t, 3, ['restore', `--store=${at.store}`, 'latest', at.target]);
  const [head, first] = run.stderr.split('\n');
  t.is(head, 'lbs: time not set:');
  t.regex(first ?? '', /^ {2}file\d+: this filesystem keeps it as 2001-09-09 01:46:40 \+0000$/);
  t.true(run.stderr.includes('  and 2 more; --verbose names each\n'), run.stderr);
  t.true(run.stderr.includes('lbs: 12 warnings: '), run.stderr);
});

asRoot('a filesystem mounted in the middle of the target is asked for itself', async (t) => {
  const at = places(t);
  await saveHardTree(t, at);
  const middle = join(at.target, 'lib');
  if (!mountImage(t, 'ext4', middle, { make: ['-I', '128'] })) return t.pass();
  spawnSync('rm', ['-rf', `${middle}.img`, join(middle, 'lost+found')]);
  setTime(join(at.tree, 'lib', 'y'), 1_000_000_001_123_456_789n);
  linkSync(join(at.tree, 'first'), join(at.tree, 'lib', 'third'));
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  const run = await restoreJson(t, at);
  t.is(run.code, 3, run.stderr);
  t.deepEqual(
    refusals(run).filter((line) => line !== 'time lib'),
    ['hard-link lib/third', 'time lib/y'],
  );
  nothingIsLost(t, at, []);
});

asRoot('a target that is mounted read-only is refused before anything is done', async (t) => {
  const at = places(t);
  await saveHardTree(t, at);
  if (!mountImage(t, 'ext4', at.target)) return t.pass();
  spawnSync('mount', ['-o', 'remount,ro', at.target]);
  const run = await lbsExits(t, 1, ['restore', `--store=${at.store}`, 'latest', at.target]);
  t.regex(run.stderr, /target .* is not writable: .*read-only/i);
  t.true(run.stderr.includes('nothing was written'), run.stderr);
});

asRoot('without root on a filesystem without owners, those are told of too', async (t) => {
  const at = places(t, 'ordinary');
  const mount = `uid=${ORDINARY_USER},gid=${ORDINARY_USER}`;
  const isThere = ['vfat', 'exfat'].some((type) => mountImage(t, type, at.target, { mount }));
  if (!isThere) return t.pass();
  await saveHardTree(t, at);
  const args = ['restore', `--store=${at.store}`, '--json', 'latest', at.target];
  const run = await lbsExits(t, 3, args, { user: 'ordinary' });
  const told = refusals(run);
  nothingIsLost(t, at, told);
  t.true(told.includes('owner owned'), told.join('\n'));
  t.true(told.includes('name readme'), told.join('\n'));
  t.is(lstatSync(join(at.target, 'owned')).uid, ORDINARY_USER);
});
