/**
 * The promise of lbs-recovery(7): what lies in a store is enough to restore it, on a machine that
 * has no Node and no lbs.
 */
import { spawnSync } from 'node:child_process';
import { appendFileSync, copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'; // prettier-ignore
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import '../helpers/on-disk.ts';
import { gpgHome } from '../helpers/gpg-home.ts';
import { makeHardTree } from '../helpers/hard-tree.ts';
import { backupOptions, clockAhead, places, type Places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { putInto, rescueRoot, type RescueRoot } from '../helpers/rescue-root.ts';
import { PROJECT, lbsOk } from '../helpers/run-lbs.ts';
import { SNAPSHOT, StanzaStore } from '../helpers/stanza-store.ts';
import { segmentFiles } from '../helpers/store-state.ts';
import { isRoot, tempDir } from '../helpers/temp-dir.ts';
import { readTree, treeDifferences, type TreeDifference } from '../helpers/tree-state.ts';

const SCRIPT = join(PROJECT, 'recovery', 'restore.sh');
const KIB = 1024;
/** Longer ones no tar can make. */
const PATH_BYTES_MAX = 4090;

/** Runs the script of a store as people do, with this machine's programs. */
function restoreScript(store: string, args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync('sh', [join(store, 'restore.sh'), ...args], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  return { code: status, stdout, stderr };
}

/** True for what lbs-recovery(7) says is left out. */
function isDocumented({ path, field }: TreeDifference): boolean {
  if (field === 'holes' || field === 'xattrs') return true;
  if (path === 'socket' && field === 'missing') return true;
  if (path.length > PATH_BYTES_MAX) return field === 'missing';
  // The other name of this file is such a path.
  return path === 'links/deep file' && (field === 'links' || field === 'sameAs');
}

function differencesOf(wanted: string, found: string): string[] {
  const differences = treeDifferences(readTree(wanted), readTree(found));
  return differences.filter((each) => !isDocumented(each)).map(({ text }) => text);
}

/** Two snapshots of the hard tree, so that the second refers to metadata of the first. */
async function saveHardTree(t: ExecutionContext, at: Places, options: string[], env = {}) {
  makeHardTree(at.tree);
  const save = (aheadS: number) =>
    lbsOk(t, [...backupOptions(at), ...options, '.'], {
      cwd: at.tree,
      env: { ...env, ...clockAhead(aheadS) },
    });
  await save(1000);
  appendFileSync(join(at.tree, 'sizes', '5242880'), 'more');
  writeFileSync(join(at.tree, 'many', 'f150b'), 'between others');
  await save(2000);
}

function restoreInside(t: ExecutionContext, root: RescueRoot, at: Places): void {
  const run = root.run(['/bin/sh', '/store/restore.sh', 'latest', '/target']);
  t.log(run.output);
  // The socket and the paths that are too long.
  t.is(run.code, 3, run.output);
  t.regex(run.output, /^left out: socket: a socket$/m);
  t.deepEqual(
    readdirSync(root.dir).filter((name) => name.includes('scratch')),
    [],
  );
  t.deepEqual(differencesOf(at.tree, join(root.dir, 'target')), []);
}

for (const [name, program, options] of [
  ['zstd', 'zstd', []],
  ['bzip2', 'bzip2', ['--filter=bzip2 -c', '--filter-extension=.bz2']],
] as const) {
  test(`restore.sh brings back a hard tree from a ${name} store where there is no Node`, async (t) => {
    const root = rescueRoot(t, 'gnu', [program]);
    if (root === undefined) return;
    const at = places(t);
    // Small segments, so that files go over several.
    await saveHardTree(t, at, ['--segment-size=256K', ...options]);
    putInto(root, at.store, 'store');
    restoreInside(t, root, at);
  });
}

test('restore.sh brings back a hard tree from a gpg store with the key at hand', async (t) => {
  const root = rescueRoot(t, 'gnu', ['gpg', 'gpg-agent', 'gpgconf']);
  if (root === undefined) return;
  const at = places(t);
  const home = gpgHome(t);
  const filter = `gpg --batch --trust-model always --encrypt -r ${home.user}`;
  await saveHardTree(t, at, [`--filter=${filter}`, '--filter-extension=.gpg'], home.env);
  putInto(root, at.store, 'store');
  putInto(root, home.dir, 'home/g');
  spawnSync('chmod', ['700', join(root.dir, 'home', 'g')]);
  t.teardown(() => root.run(['/bin/gpgconf', '--kill', 'all']));
  restoreInside(t, root, at);
});

test('restore.sh needs nothing but busybox', async (t) => {
  const root = rescueRoot(t, 'busybox', []);
  if (root === undefined) return;
  const at = places(t);
  await saveHardTree(t, at, ['--filter=gzip -c', '--filter-extension=.gz']);
  putInto(root, at.store, 'store');
  const run = root.run(['/bin/sh', '/store/restore.sh', 'latest', '/target']);
  t.is(run.code, 3, run.output);
  // Its tar knows no nanoseconds, no time before 1970 or after 2242, and no owners of symlinks.
  const saved = readTree(at.tree);
  const differences = treeDifferences(saved, readTree(join(root.dir, 'target')));
  const unexpected = differences.filter(
    (each) =>
      !isDocumented(each) &&
      each.field !== 'mtimeNs' &&
      !(each.field === 'owner' && saved.get(each.path)?.type === 'l'),
  );
  t.deepEqual(
    unexpected.map(({ text }) => text),
    [],
    run.output,
  );
});

test('restore.sh refuses names that lead out of the target, and says so', (t) => {
  const place = tempDir(t);
  const [store, outside] = [join(place, 'store'), join(place, 'outside')];
  const target = join(place, 'back', 'target');
  for (const dir of [store, outside, join(place, 'back')]) mkdirSync(dir);
  const made = new StanzaStore();
  const evil = [Buffer.from('evil')];
  made.add('.', 'd');
  made.file('../evil', evil);
  made.file('/evil', evil);
  made.file('dir/../../evil', evil);
  made.file('dir//evil', evil);
  made.file('dir/./evil', evil);
  made.add('dir', 'd');
  made.file('dir/good', [Buffer.from('good'), 5]);
  made.add('link', 'l', { target: outside });
  made.file('link/evil', evil);
  made.add('twice', 'l', { target: outside });
  made.add('twice', 'd');
  made.file('twice/evil', evil);
  made.file('no/such/directory', evil);
  made.write(store);
  copyFileSync(SCRIPT, join(store, 'restore.sh'));
  const { code, stderr } = restoreScript(store, [SNAPSHOT, target]);
  t.is(code, 4, stderr);
  for (const name of ['../evil', '/evil', 'dir/../../evil', 'dir//evil', 'dir/./evil', 'link/evil', 'twice', 'no/such/directory']) {
    t.true(stderr.includes(`damaged: the entry ${name}: refused`), `${name}\n${stderr}`);
  } // prettier-ignore
  t.deepEqual(readdirSync(outside), []);
  t.deepEqual(readdirSync(join(place, 'back')), ['target']);
  t.deepEqual(readdirSync(place).sort(), ['back', 'outside', 'store']);
  t.deepEqual(readdirSync(join(target, 'dir')), ['good']);
  t.is(readFileSync(join(target, 'dir', 'good'), 'latin1'), 'good\0\0\0\0\0');
});

test('restore.sh runs nothing that stands in a snapshot', (t) => {
  const place = tempDir(t);
  const [store, target] = [join(place, 'store'), join(place, 'target')];
  mkdirSync(store);
  const made = new StanzaStore();
  const command = `touch ${join(place, 'ran')}`;
  for (const path of [`$(${command})`, `\`${command}\``]) {
    const parts = path.split('/');
    for (let depth = 1; depth < parts.length; depth++)
      made.add(parts.slice(0, depth).join('/'), 'd');
    made.file(path, [Buffer.from(path)]);
  }
  made.file('size', [Buffer.from('z')], { size: `1; ${command}` });
  made.file('mode', [Buffer.from('z')], { mode: `0644" ; ${command} #` });
  made.file('time', [Buffer.from('z')], { mtime: `1$(${command})` });
  made.file('reference', [Buffer.from('z')], { data: `11111111/00000000;${command}` });
  made.add('link', 'l', { target: `%24%28${command.replace(' ', '%20')}%29` });
  made.write(store);
  copyFileSync(SCRIPT, join(store, 'restore.sh'));
  const { code, stderr } = restoreScript(store, [SNAPSHOT, target]);
  t.is(code, 4, stderr);
  t.deepEqual(readdirSync(place).sort(), ['store', 'target']);
  t.is(readdirSync(target).length, 4, stderr);
});

/** Files of 100 KiB that nothing compresses, in segments that hold only a few. */
async function saveLargeFiles(t: ExecutionContext, at: Places, count: number): Promise<string[]> {
  const names = Array.from({ length: count }, (_, index) => `file ${index}`);
  for (const name of names) writeFileSync(join(at.tree, name), pseudoRandom(`${name}`, 100 * KIB));
  const options = ['--segment-size=256K', '--filter=cat', '--filter-extension='];
  await lbsOk(t, [...backupOptions(at), ...options, '.'], { cwd: at.tree });
  return names;
}

test('a damaged and a missing segment cost only their files, and these are named', async (t) => {
  const at = places(t);
  const names = await saveLargeFiles(t, at, 40);
  const holds = (file: string, name: string) =>
    readFileSync(join(at.store, file)).includes(pseudoRandom(name, 100 * KIB).subarray(0, 64));
  const data = segmentFiles(at.store).filter((file) => names.some((name) => holds(file, name)));
  const [damaged = '', missing = ''] = data;
  t.true(data.length > 3);
  const gone = names.filter((name) => holds(missing, name));
  const bytes = readFileSync(join(at.store, damaged));
  const victim = names.find((name) => holds(damaged, name)) ?? '';
  const place = bytes.indexOf(pseudoRandom(victim, 100 * KIB).subarray(0, 64));
  bytes[place + 5000] = (bytes[place + 5000] ?? 0) ^ 1;
  writeFileSync(join(at.store, damaged), bytes);
  rmSync(join(at.store, missing));
  const { code, stderr } = restoreScript(at.store, ['latest', at.target]);
  t.is(code, 4, stderr);
  t.true(stderr.includes(`damaged: ${damaged} is not as it was stored`), stderr);
  t.true(stderr.includes(`damaged: segment ${missing.replace('.tar', '')} is missing`), stderr);
  const shown = (name: string) => name.replace(' ', '%20');
  t.true(stderr.includes(`damaged: the file ${shown(victim)}: its content`), stderr);
  for (const name of gone) {
    t.true(stderr.includes(`damaged: the file ${shown(name)}: not restored`), stderr);
  }
  const lost = [victim, ...gone].sort();
  const differences = treeDifferences(readTree(at.tree), readTree(at.target));
  t.deepEqual(
    differences.map(({ text }) => text),
    lost.map((name) => `${name}: missing`),
  );
});

test('a checksums file that was changed is told', async (t) => {
  const at = places(t);
  await saveLargeFiles(t, at, 1);
  const sums = readdirSync(at.store).find((name) => name.endsWith('.sha256sums')) ?? '';
  appendFileSync(join(at.store, sums), '\n');
  const { code, stderr } = restoreScript(at.store, ['latest', at.target]);
  t.is(code, 4, stderr);
  t.true(stderr.includes(`damaged: ${sums} is not as the descriptor says`), stderr);
  t.deepEqual(differencesOf(at.tree, at.target), []);
});

test('restore.sh lists snapshots, and restores chosen paths with their directories', async (t) => {
  const at = places(t);
  makeHardTree(at.tree);
  if (!isRoot) return t.pass('only root can read the whole tree');
  await lbsOk(t, [...backupOptions(at), '--scheme=home', '.'], { cwd: at.tree });
  const listed = restoreScript(at.store, []);
  t.is(listed.code, 0, listed.stderr);
  t.regex(listed.stdout, /^home-\d{8}T\d{6} +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4} /m);
  const chosen = ['./links/b/', 'names/ lead', '/names/%41'];
  const { code, stderr } = restoreScript(at.store, ['latest', at.target, ...chosen, 'no such']);
  t.is(code, 3, stderr);
  t.regex(stderr, /^left out: no%20such: not in the snapshot$/m);
  const paths = [...readTree(at.target).keys()].sort();
  t.deepEqual(paths, ['.', 'links', 'links/b', 'links/b/empty too', 'links/b/same fifo', 'links/b/same symlink', 'links/b/two', 'names', 'names/ lead', 'names/%41']); // prettier-ignore
  const differences = treeDifferences(readTree(at.tree), readTree(at.target));
  const isExpected = ({ field }: TreeDifference) => /^(missing|xattrs|links|sameAs)$/.test(field);
  t.deepEqual(
    differences.filter((each) => !isExpected(each)).map(({ text }) => text),
    [],
  );
});

test('wrong use of restore.sh changes nothing', async (t) => {
  const at = places(t);
  await saveLargeFiles(t, at, 1);
  mkdirSync(at.target);
  writeFileSync(join(at.target, 'theirs'), '');
  const full = restoreScript(at.store, ['latest', at.target]);
  t.is(full.code, 2);
  t.regex(full.stderr, /is not empty/);
  t.deepEqual(readdirSync(at.target), ['theirs']);
  const unknown = restoreScript(at.store, ['20010101T000000', join(at.base, 'new')]);
  t.is(unknown.code, 1);
  t.regex(unknown.stderr, /there is no snapshot 20010101T000000 in/);
  t.is(restoreScript(at.store, ['latest']).code, 2);
  t.is(restoreScript(at.store, ['--no-such-option']).code, 2);
  t.false(readdirSync(at.base).includes('new'));
});
