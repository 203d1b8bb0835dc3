/** restore.sh does the same with every shell, awk and tar that a rescue disk may have. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { places } from '../helpers/places.ts';
import { runScript, SCRIPT } from '../helpers/restore-script.ts';
import { StanzaStore, SNAPSHOT } from '../helpers/stanza-store.ts';
import {
  readTree,
  sameTree,
  treeDifferences,
  type TreeDifference,
  type TreeState,
} from '../helpers/tree-state.ts';

function pathOf(program: string): string | undefined {
  const { stdout } = spawnSync('/bin/sh', ['-c', `command -v ${program}`], { encoding: 'utf8' });
  return stdout.trim() === '' ? undefined : stdout.trim();
}

const NAMES = ['plain', ' lead', '-n', 'new\nline\n', 'back\\slash', '*', '$HOME', '`id`', '"', "'", '\t', '%41', 'é']; // prettier-ignore

/** Everything that restore.sh makes, in one small store; what must come of it. */
function makeStore(store: string): void {
  const made = new StanzaStore();
  made.add('.', 'd', { mode: '0711', mtime: '981173106', mtime_ns: '123456789' });
  made.add('dir', 'd', { mode: '0500' });
  const links = { links: '2', inode: '1/1/1' };
  const shared = [Buffer.from('one'), 5, Buffer.from('two')];
  made.file('dir/linked', shared, { ...links, mode: '04755', mtime: '-86400', mtime_ns: '5' });
  made.add('dir/symlink', 'l', { target: 'no%20such/%0atarget' });
  made.file('linked too', shared, { ...links, mode: '04755', mtime: '-86400', mtime_ns: '5' });
  for (const name of [...NAMES, Buffer.from([0xff, 0x80, 0x0a]), 'n'.repeat(255)].sort()) {
    made.file(name, [Buffer.from(String(name))], { mtime: '1000000000', mtime_ns: '1' });
  }
  made.file('zeros', [3 << 20]);
  made.write(store);
}

let wanted: TreeState | undefined;

async function isTheSame(
  t: ExecutionContext,
  shell: readonly string[],
  path?: string,
  known?: string,
) {
  const at = places(t);
  makeStore(at.store);
  if (wanted === undefined) {
    t.is((await runScript(at.store, [SNAPSHOT, `${at.target}1`])).code, 4);
    wanted = readTree(`${at.target}1`);
    t.is(wanted.size, NAMES.length + 8);
    t.is(wanted.get('dir/linked')?.mtimeNs, -86399_999_999_995n);
    t.is(wanted.get('dir/symlink')?.target, 'no such/\ntarget');
    t.is(wanted.get('linked too')?.sameAs, 'dir/linked');
  }
  const env = path === undefined ? {} : { PATH: `${path}:${process.env['PATH']}` };
  const { code, output } = await runScript(at.store, [SNAPSHOT, at.target], { shell, env });
  // The descriptor of this store names a checksums file that is not there.
  t.is(code, 4, output);
  t.is(output.match(/^damaged: /gm)?.length, 1, output);
  // bsdtar counts a fraction forward from a second before 1970 that others count backward.
  const isKnown = ({ path: name, field }: TreeDifference) =>
    known === 'mtimeNs' && field === known && wanted?.get(name)?.mtimeNs === -86399_999_999_995n;
  const differences = treeDifferences(wanted, readTree(at.target));
  t.deepEqual(
    differences.filter((each) => !isKnown(each)).map(({ text }) => text),
    [],
  );
}

for (const shell of ['dash', 'bash --posix', 'busybox sh', 'ksh', 'mksh', 'yash']) {
  test.serial(`restore.sh does its work with ${shell}`, async (t) => {
    const words = shell.split(' ');
    if (pathOf(words[0] ?? '') === undefined) return t.pass(`${shell} is not installed`);
    await isTheSame(t, words);
  });
}

for (const [program, command] of [
  ['awk', 'mawk'],
  ['awk', 'gawk --posix'],
  ['awk', 'original-awk'],
  ['awk', 'busybox awk'],
  ['tar', 'bsdtar'],
  ['sort', 'busybox sort'],
  ['sha256sum', 'busybox sha256sum'],
] as const) {
  test.serial(`restore.sh does its work where ${program} is ${command}`, async (t) => {
    const [name = ''] = command.split(' ');
    const path = pathOf(name);
    if (path === undefined) return t.pass(`${name} is not installed`);
    const dir = join(places(t).base, 'bin');
    mkdirSync(dir);
    symlinkSync(path, join(dir, name));
    writeFileSync(join(dir, program), `#!/bin/sh\nexec ${command} "$@"\n`);
    chmodSync(join(dir, program), 0o755);
    await isTheSame(t, ['sh'], dir, command === 'bsdtar' ? 'mtimeNs' : undefined);
  });
}

test('lists that are sorted in parts are whole and in order', async (t) => {
  const at = places(t);
  const made = new StanzaStore();
  made.add('.', 'd');
  // In no order, and more than ten times what is sorted at once here.
  for (let n = 0; n < 40; n++) made.add(`d${(n * 17) % 40}`, 'd');
  for (let n = 0; n < 100; n++) {
    const name = `d${(n * 7) % 40}/f${(n * 31) % 100}`;
    made.file(name, [Buffer.from(`${n}`)], { links: '2', inode: `1/1/${n >> 1}` });
  }
  made.write(at.store);
  const script = readFileSync(SCRIPT, 'utf8');
  t.true(script.includes('\nlines_at_once=20000\n'));
  const small = join(at.base, 'small.sh');
  writeFileSync(small, script.replace('lines_at_once=20000', 'lines_at_once=7'));
  const run = (name: string, target: string) =>
    spawnSync('sh', [name, SNAPSHOT, target], { env: { ...process.env, LBS_STORE: at.store } });
  t.is(run(SCRIPT, `${at.target}1`).status, 4);
  t.is(run(small, at.target).status, 4);
  const tree = readTree(at.target);
  t.is(tree.size, 141);
  sameTree(t, readTree(`${at.target}1`), tree);
});
