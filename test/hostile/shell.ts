/**
 * Nothing that a store says reaches a shell: names of files, extensions, hosts, schemes, formats and
 * paths full of its characters, under each command and under the restore.sh of the store.
 */
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { DATA, EnemyStore, METADATA, SNAPSHOT } from '../helpers/enemy-store.ts';
import { objectName } from '../helpers/hand-made-store.ts';
import { runScript } from '../helpers/restore-script.ts';
import {
  attacked,
  fewCommands,
  restoreAll,
  type Siege,
  siege,
  unsafePlace,
  untouched,
} from '../helpers/siege.ts';

/** Each would make a file `owned` in the directory where a shell takes it for its own. */
const WORDS = [
  '$(touch owned)',
  '`touch owned`',
  ';touch owned;',
  '|touch owned',
  '&touch owned&',
  "'$(touch owned)'",
  '"$(touch owned)"',
  '\ntouch owned\n',
  '-o owned',
  '--to-command=touch owned',
  '--checkpoint=1 --checkpoint-action=exec=touch owned',
  '%s%n\\n\\033[2J',
  '$IFS${PATH}*?[a]~',
];

function nothingOwned(at: Siege): boolean {
  const places = [at.base, at.store, at.target, process.cwd()];
  return places.every((place) => !existsSync(join(place, 'owned')));
}

/** A store full of such words. */
function write(at: Siege): void {
  const store = new EnemyStore().directory('.');
  for (const [number, word] of WORDS.entries()) {
    const name = word.replaceAll('/', '_');
    store.directory(`d${number}${name}`).file(`d${number}${name}/${name}`, `file ${number}`);
    store.link(`l${number}${name}`, word);
  }
  store.file('accounts', 'x', { user: '0 (;touch%20owned;)', group: '0 ($(touch%20owned))' });
  store.file('last', 'last');
  store.write(at.store, {
    descriptor: (text) =>
      text
        .replace(/^Host: .*$/m, 'Host: $(touch owned)')
        .replace(/^Producer: .*$/m, 'Producer: `touch owned`')
        .replace(/^Date: /m, 'Scheme: ;touch owned;\nDate: '),
  });
}

test('no command runs a word of a store', async (t) => {
  const at = siege(t);
  write(at);
  const env = { LBS_LOCALDB: at.localdb };
  for (const [args, options] of fewCommands(at)) {
    await attacked(t, at, args, { ...options, cwd: at.base, env });
  }
  await attacked(t, at, restoreAll(at), { cwd: at.base });
  t.is(readFileSync(join(at.target, 'last'), 'utf8'), 'last');
  t.true(nothingOwned(at));
});

test('the extension of a segment is looked up, and never a command', async (t) => {
  const at = siege(t);
  for (const extension of [
    '.$(touch owned)',
    '.gz;touch owned',
    `.${'x'.repeat(150)}`,
    '.__proto__',
  ]) {
    write(at);
    renameSync(join(at.store, `${DATA}.tar`), join(at.store, `${DATA}.tar${extension}`));
    for (const args of [restoreAll(at), ['verify', `--store=${at.store}`, '--data']]) {
      const run = await attacked(t, at, args, { cwd: at.base });
      t.not(run.code, 0);
    }
    renameSync(join(at.store, `${DATA}.tar${extension}`), join(at.store, `${DATA}.tar`));
  }
  t.true(nothingOwned(at));
});

test('restore.sh runs no word of a store, and makes nothing outside of its target', async (t) => {
  const at = siege(t);
  write(at);
  const listed = await runScript(at.store, []);
  t.is(listed.code, 0, listed.output);
  t.is(unsafePlace(listed.output), undefined);
  const run = await runScript(at.store, [SNAPSHOT, at.target]);
  t.is(unsafePlace(run.output), undefined, run.output);
  t.is(readFileSync(join(at.target, 'last'), 'utf8'), 'last', run.output);
  t.true(nothingOwned(at));
  untouched(t, at);
});

test('restore.sh follows no name and no link of a store out of its target', async (t) => {
  const at = siege(t);
  const store = new EnemyStore().directory('.');
  store
    .link('way', at.outside)
    .file('way/new', 'evil')
    .file('way/file', 'evil')
    .directory('d')
    .file('d/x', 'x')
    .link('d', at.outside)
    .file('d/new', 'evil')
    .file('../outside/new', 'evil')
    .file('d/../../outside/new', 'evil')
    .file(join(at.outside, 'new'), 'evil')
    .file('a', 'a', { inode: '1/1', links: '2' })
    .file(join(at.outside, 'file'), 'a', { inode: '1/1', links: '2' })
    .link('h', join(at.outside, 'file'), { inode: '1/2', links: '2' })
    .file('i', 'evil', { inode: '1/2', links: '2' })
    .file('esc\u001b[2J', 'x')
    .file('huge', '', { data: 'zero[1000000000000000]', size: '1000000000000000' })
    .file('circle', '', { data: `@${objectName(2, 0)}`, size: '5' })
    .raw(`@${objectName(2, 0)}\n@../../outside/file\n@${METADATA}/0 /etc/passwd\n`)
    .file('last', 'last')
    .write(at.store);
  const run = await runScript(at.store, [SNAPSHOT, at.target]);
  t.not(run.code, 0);
  t.is(unsafePlace(run.output), undefined, run.output);
  untouched(t, at);
});

test('restore.sh unpacks nothing outside of its scratch directory', async (t) => {
  const at = siege(t);
  write(at);
  const path = join(at.store, `snapshot-${SNAPSHOT}.lbs`);
  const right = readFileSync(path, 'utf8');
  for (const change of [
    (text: string) => text.replace('Segments:', 'Segments:\n    ../../outside\n    $(touch owned)'),
    (text: string) => text.replace(/^Root: .*$/m, 'Root: ../../outside/file'),
    (text: string) => text.replace(/^Root: .*$/m, 'Root: $(touch owned)/0'),
    (text: string) => text.replace(/^Checksums: .*$/m, 'Checksums: $(touch owned)=00'),
  ]) {
    writeFileSync(path, change(right));
    mkdirSync(at.target, { recursive: true });
    if (readdirSync(at.target).length > 0) continue;
    const run = await runScript(at.store, [SNAPSHOT, at.target]);
    t.is(unsafePlace(run.output), undefined, run.output);
    untouched(t, at);
  }
  t.true(nothingOwned(at));
});
