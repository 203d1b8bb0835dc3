/** What goes wrong while restore.sh runs, and what a hostile store may try. */
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'; // prettier-ignore
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import '../helpers/on-disk.ts';
import { tarMember } from '../helpers/hand-made-store.ts';
import { makeHardTree } from '../helpers/hard-tree.ts';
import { backupOptions, places, type Places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { putInto, rescueRoot } from '../helpers/rescue-root.ts';
import { runScript, startScript } from '../helpers/restore-script.ts';
import { lbsOk } from '../helpers/run-lbs.ts';
import { waitUntil } from '../helpers/small-tree.ts';
import { SNAPSHOT, StanzaStore } from '../helpers/stanza-store.ts';
import { isRoot, mountTmpfs } from '../helpers/temp-dir.ts';
import { readTree } from '../helpers/tree-state.ts';

const MIB = 1 << 20;

/** Its descriptor names no checksums, so that nothing of it is damaged. */
function writeQuietly(made: StanzaStore, store: string): void {
  made.write(store);
  const descriptor = join(store, `snapshot-${SNAPSHOT}.lbs`);
  const text = readFileSync(descriptor, 'utf8');
  writeFileSync(descriptor, text.replace(/^Checksums_sha256: .*\n/m, ''));
}

function storeOf(t: ExecutionContext, files: Readonly<Record<string, Buffer>>): Places {
  const at = places(t);
  const made = new StanzaStore();
  made.add('.', 'd');
  for (const [name, content] of Object.entries(files)) made.file(name, [content]);
  writeQuietly(made, at.store);
  return at;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`${signal} ends restore.sh with 130, nothing is left in its way`, async (t) => {
    const at = storeOf(t, { file: Buffer.from('content') });
    const data = join(at.store, StanzaStore.dataFile);
    renameSync(data, `${data}.slow`);
    const started = join(at.base, 'started');
    const env = { LBS_UNFILTER: `touch ${started}; sleep 100; cat` };
    const { child, done } = startScript(at.store, [SNAPSHOT, at.target], { env });
    await waitUntil(() => existsSync(started), 'the filter to start');
    // As a terminal does: to the whole group.
    process.kill(-(child.pid ?? 0), signal);
    const { code, output } = await done;
    t.is(code, 130, output);
    t.regex(output, /^interrupted: a part is in \S+\/target; remove it before the next run$/m);
    t.deepEqual(readdirSync(at.base).filter((name) => name.includes('scratch')), []); // prettier-ignore
    const again = await runScript(at.store, [SNAPSHOT, at.target], {
      env: { LBS_UNFILTER: 'cat' },
    });
    t.is(again.code, 0, again.output);
    t.is(readFileSync(join(at.target, 'file'), 'utf8'), 'content');
  });
}

for (const full of ['LBS_SCRATCH', 'the target'] as const) {
  test(`a full disk below ${full} ends restore.sh, which says so`, async (t) => {
    const at = storeOf(t, { large: pseudoRandom('large', 6 * MIB), small: Buffer.from('small') });
    const disk = join(at.base, 'disk');
    mkdirSync(disk);
    if (!mountTmpfs(disk, 5 * MIB)) return t.pass('cannot mount a tmpfs here');
    const scratch = join(full === 'LBS_SCRATCH' ? disk : at.base, 'scratch');
    const target = join(full === 'LBS_SCRATCH' ? at.base : disk, 'target');
    const env = { LBS_SCRATCH: scratch };
    const { code, output } = await runScript(at.store, [SNAPSHOT, target], { env });
    t.is(code, 1, output);
    t.regex(output, /^restore\.sh: stopped: is there room in \S+ and \S+\? What is in \S+ is not complete$/m); // prettier-ignore
    t.false(existsSync(scratch));
  });
}

test('two names of one file that were read with different contents are two files again', async (t) => {
  const at = places(t);
  const made = new StanzaStore();
  const links = { links: '3', inode: '1/1/7' };
  made.add('.', 'd');
  made.file('a', [Buffer.from('before')], links);
  made.file('b', [Buffer.from('after it was changed')], links);
  made.file('c', [Buffer.from('before')], links);
  writeQuietly(made, at.store);
  const { code, output } = await runScript(at.store, [SNAPSHOT, at.target]);
  t.is(code, 0, output);
  t.regex(output, /the content of 2 files was read back/);
  t.is(readFileSync(join(at.target, 'a'), 'utf8'), 'before');
  t.is(readFileSync(join(at.target, 'b'), 'utf8'), 'after it was changed');
  t.is(readTree(at.target).get('c')?.sameAs, 'a');
});

test('a full disk while the list of entries is made does not shorten it unseen', async (t) => {
  const at = places(t);
  const made = new StanzaStore();
  made.add('.', 'd');
  for (let n = 0; n < 4000; n++) made.add(`link ${n}`, 'l', { target: 'x'.repeat(200) });
  writeQuietly(made, at.store);
  const disk = join(at.base, 'disk');
  mkdirSync(disk);
  // Room for what it begins with (two MiB) and for the metadata, and for nothing after that.
  if (!mountTmpfs(disk, 4.5 * MIB)) return t.pass('cannot mount a tmpfs here');
  const env = { LBS_SCRATCH: join(disk, 'scratch') };
  const { code, output } = await runScript(at.store, [SNAPSHOT, at.target], { env });
  t.is(code, 1, output);
  t.regex(output, /stopped: is there room in/);
});

/** A member that is a symbolic link. */
function linkMember(name: string, target: string): Buffer {
  const bytes = tarMember(name, Buffer.alloc(0));
  bytes.write('2', 156, 'latin1');
  bytes.write(target, 157, 'latin1');
  bytes.fill(' ', 148, 156);
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return bytes;
}

test('members of a segment that are no objects are not taken for any', async (t) => {
  const at = storeOf(t, { file: Buffer.from('content') });
  const outside = join(at.base, 'outside');
  mkdirSync(outside);
  const data = join(at.store, StanzaStore.dataFile);
  const segment = StanzaStore.dataFile.replace('.tar', '');
  const bytes = readFileSync(data);
  const evil = Buffer.from('evil');
  const members = [
    // In a list of files it looks like an object of another length.
    tarMember(`${segment}/00000005\n-rw------- 1 0 0 3 Jan 1 00:00 00000000`, evil),
    linkMember(`${segment}/00000001`, '/etc/passwd'),
    linkMember(`${segment}/dir`, outside),
    tarMember(`${segment}/dir/evil`, evil),
    tarMember('../keep/evil', evil),
    linkMember('22222222', outside),
    tarMember('22222222/evil', evil),
  ];
  writeFileSync(data, Buffer.concat([bytes.subarray(0, -1024), ...members, Buffer.alloc(1024)]));
  const { code, output } = await runScript(at.store, [SNAPSHOT, at.target]);
  t.regex(output, /the content of 1 files was read back/);
  t.true(code === 0 || code === 4, output);
  t.is(readFileSync(join(at.target, 'file'), 'utf8'), 'content');
  t.deepEqual(readdirSync(at.target), ['file']);
  t.deepEqual(readdirSync(outside), []);
});

test('names of segments that are options or lead elsewhere are refused', async (t) => {
  const at = places(t);
  const made = new StanzaStore();
  made.add('.', 'd');
  made.file('good', [Buffer.from('good')]);
  const names = ['-f/00000000', '--/00000000', '../0/00000000', '/0/00000000', '0;id/0', '$(id)/0'];
  for (const [at, data] of names.entries()) made.file(`bad${at}`, [Buffer.from('x')], { data });
  writeQuietly(made, at.store);
  const { code, output } = await runScript(at.store, [SNAPSHOT, at.target]);
  t.is(code, 4, output);
  t.is(output.match(/^damaged: the entry bad\d: a reference in it cannot be read$/gm)?.length, 6);
  t.deepEqual(readdirSync(at.target), ['good']);
  const descriptor = join(at.store, `snapshot-${SNAPSHOT}.lbs`);
  const text = readFileSync(descriptor, 'utf8');
  for (const [number, root] of ['-f/0', '../../0', '$(id)/0', '\\x2f/0', ''].entries()) {
    writeFileSync(descriptor, text.replace(/^Root: .*/m, `Root: ${root}`));
    const run = await runScript(at.store, [SNAPSHOT, `${at.target}${number}`]);
    t.is(run.code, 1, run.output);
    t.regex(run.output, /a reference of the metadata cannot be followed/);
    t.deepEqual(readdirSync(`${at.target}${number}`), []);
  }
});

test('nothing in a store writes to the terminal', async (t) => {
  const at = storeOf(t, { file: Buffer.from('content') });
  const descriptor = join(at.store, `snapshot-${SNAPSHOT}.lbs`);
  const text = readFileSync(descriptor, 'utf8').replace('Root: ', 'Host: \x1b[2Jhost\x07\nRoot: ');
  writeFileSync(descriptor, text);
  const listed = await runScript(at.store, []);
  t.regex(listed.output, / \[2Jhost /);
  writeFileSync(descriptor, text.replace('LBS Snapshot v0', '\x1b]0;x\x07'));
  const { code, output } = await runScript(at.store, [SNAPSHOT, at.target]);
  t.is(code, 1);
  t.regex(output, /is of a format that this script does not know/);
  // eslint-disable-next-line no-control-regex
  t.false(/[\x00-\x09\x0b-\x1f]/.test(listed.output + output));
});

test('a target that holds a symbolic link is refused, and one that is a link is used', async (t) => {
  const at = storeOf(t, { file: Buffer.from('content') });
  mkdirSync(at.target);
  symlinkSync(at.base, join(at.target, 'file'));
  const held = await runScript(at.store, [SNAPSHOT, at.target]);
  t.is(held.code, 2, held.output);
  const link = join(at.base, 'link');
  mkdirSync(join(at.base, 'real'));
  symlinkSync('real', link);
  t.is((await runScript(at.store, [SNAPSHOT, link])).code, 0);
  t.is(readFileSync(join(at.base, 'real', 'file'), 'utf8'), 'content');
});

test('paths with any characters are chosen one by one, and as many as one likes', async (t) => {
  const names = ['*', '[a-z]', '-n', 'new\nline\n', 'a\\b', "'", '%41', 'a', 'b c'];
  const at = storeOf(t, Object.fromEntries(names.sort().map((name) => [name, Buffer.from(name)])));
  for (const name of names) {
    const target = join(at.base, `t${names.indexOf(name)}`);
    const { code, output } = await runScript(at.store, [SNAPSHOT, target, name]);
    t.is(code, 0, output);
    t.deepEqual(readdirSync(target), [name]);
    t.is(readFileSync(join(target, name), 'utf8'), name);
  }
  const chosen = ['/a', './b c', '*'];
  t.is((await runScript(at.store, [SNAPSHOT, at.target, ...chosen, 'A', '?'])).code, 3);
  t.deepEqual(readdirSync(at.target), ['*', 'a', 'b c']);
});

test('restore.sh does what it can for an ordinary user', async (t) => {
  const root = rescueRoot(t, 'gnu', ['zstd']);
  if (root === undefined) return;
  const at = places(t);
  makeHardTree(at.tree);
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  putInto(root, at.store, 'store');
  spawnSync('chmod', ['-R', 'a+rX', join(root.dir, 'store')]);
  spawnSync('chmod', ['1777', join(root.dir, 'tmp')]);
  const run = root.run(['/bin/sh', '/store/restore.sh', 'latest', '/tmp/target'], 'ordinary');
  t.is(run.code, 3, run.output);
  t.regex(run.output, /^note: owners are those of who restores: only root can give files away$/m);
  t.regex(run.output, /^left out: the check of \S+: its mode lets you not read it$/m);
  t.false(run.output.includes('damaged'), run.output);
  const [wanted, found] = [readTree(at.tree), readTree(join(root.dir, 'tmp', 'target'))];
  t.true(isRoot);
  for (const [path, entry] of wanted) {
    if (path.length > 4090 || ['s', 'c', 'b'].includes(entry.type)) continue;
    t.like(found.get(path), { type: entry.type, mode: entry.mode, mtimeNs: entry.mtimeNs }, path);
    t.is(found.get(path)?.content, entry.content, path);
  }
});
