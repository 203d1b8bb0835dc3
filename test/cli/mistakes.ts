/** What people do wrong with the command line, and what they are told: message and exit code. */
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { backupOptions, places, type Places } from '../helpers/places.ts';
import { lbs, lbsExits, lbsOk, ordinaryUserCanRun, type RunOptions } from '../helpers/run-lbs.ts';
import { makeFiles, makeSmallTree } from '../helpers/small-tree.ts';
import { storeState } from '../helpers/store-state.ts';
import { isRoot, mountTmpfs } from '../helpers/temp-dir.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

/** Runs lbs, which must exit with `code`, say each of `words`, and write nothing to the store. */
async function refused(
  t: ExecutionContext,
  at: Places,
  code: number,
  words: readonly (string | RegExp)[],
  args: readonly string[],
  options: RunOptions = {},
): Promise<void> {
  const [store, local] = [storeState(at.store), storeState(at.localdb)];
  const run = await lbsExits(t, code, args, options);
  t.is(run.stdout, '', 'a refusal belongs to standard error');
  for (const word of words) {
    if (typeof word === 'string')
      t.true(run.stderr.includes(word), `no "${word}" in: ${run.stderr}`);
    else t.regex(run.stderr, word);
  }
  t.notRegex(run.stderr, /^\s+at .*:\d+/m, 'a stack trace is for bugs');
  t.deepEqual(storeState(at.store), store, 'the store was changed');
  t.deepEqual(storeState(at.localdb), local, 'the local state was changed');
}

function filledPlaces(t: ExecutionContext, user?: 'ordinary'): Places {
  const at = places(t, user);
  makeSmallTree(at.tree);
  return at;
}

test('a backup without a destination is refused', async (t) => {
  const at = filledPlaces(t);
  await refused(t, at, 2, [/--(dest|store)/], [at.tree]);
  await refused(t, at, 2, [/--(dest|store)/], ['backup', at.tree]);
});

test('a command that reads a store needs one', async (t) => {
  const at = filledPlaces(t);
  for (const args of [['list'], ['ls', 'latest'], ['verify'], ['restore', 'latest', at.target]]) {
    await refused(t, at, 2, ['--store'], args);
  }
});

test('nothing at all shows how lbs is used', async (t) => {
  const run = await lbs(t, []);
  t.is(run.code, 2);
  t.regex(run.stderr + run.stdout, /--dest/);
});

test('a destination that is not there is not made', async (t) => {
  const at = filledPlaces(t);
  const absent = join(at.base, 'absent');
  await refused(t, at, 10, [absent, /mkdir|mounted/], [`--dest=${absent}`, at.tree]);
  t.false(existsSync(absent));
  for (const command of [
    ['list'],
    ['verify'],
    ['ls', 'latest'],
    ['restore', 'latest', at.target],
  ]) {
    await refused(
      t,
      at,
      10,
      [absent],
      [command[0] ?? '', `--store=${absent}`, ...command.slice(1)],
    );
  }
  t.false(existsSync(at.target), 'the target of a restore that cannot be was made');
});

test('a destination that is a file is refused', async (t) => {
  const at = filledPlaces(t);
  const file = join(at.tree, 'letters', 'one');
  await refused(t, at, 10, [file, 'not a directory'], [`--dest=${file}`, at.tree]);
});

test('a destination of an unknown kind is refused', async (t) => {
  const at = filledPlaces(t);
  await refused(t, at, 2, ['gopher'], ['--dest=gopher://host/hole', at.tree]);
});

test('a destination that cannot be written to is refused', async (t) => {
  if (!ordinaryUserCanRun(t)) return;
  const at = filledPlaces(t, 'ordinary');
  chmodSync(at.store, 0o555);
  const words = [at.store, /cannot write to the store/, /ermission/];
  const user = { user: 'ordinary' } as const;
  await refused(t, at, 1, words, [...backupOptions(at), at.tree], user);
  await refused(t, at, 1, words, [`--dest=${at.store}`, at.tree], user);
});

test('a backup without paths is refused', async (t) => {
  const at = filledPlaces(t);
  await refused(t, at, 2, [/path/], backupOptions(at));
});

test('an empty path is refused and does not mean everything', async (t) => {
  const at = filledPlaces(t);
  await refused(t, at, 2, [/empty/], [...backupOptions(at), '']);
  await lbsOk(t, [...backupOptions(at), at.tree]);
  const [store, before] = [`--store=${at.store}`, readTree(at.tree)];
  const words = ['one of the paths is empty', 'written as "/"'];
  await refused(t, at, 2, words, ['restore', store, '--original-place', '--delete', 'latest', '']);
  await refused(t, at, 2, words, ['restore', store, 'latest', at.target, 'x', '']);
  await refused(t, at, 2, words, ['dump', store, 'latest', '']);
  sameTree(t, before, readTree(at.tree));
});

test('an empty store beside another one is refused: there would be one copy fewer', async (t) => {
  const at = filledPlaces(t);
  const words = ['one of the stores (--dest or --store) is empty', 'variable'];
  await refused(t, at, 2, words, [...backupOptions(at), '--dest=', at.tree]);
  await refused(t, at, 2, words, ['--dest=', ...backupOptions(at), at.tree]);
  await refused(t, at, 2, ['no store given'], ['--dest=', at.tree]);
});

test('options of an upload script are refused where there is none', async (t) => {
  const at = filledPlaces(t);
  for (const option of ['--upload-protocol=call', `--tmpdir=${at.base}`]) {
    await refused(t, at, 2, ['is for an upload script'], [...backupOptions(at), option, at.tree]);
  }
});

test('a scheme does not choose what is compacted', async (t) => {
  const at = filledPlaces(t);
  const args = ['compact', '--scheme=home', `--store=${at.store}`, `--localdb=${at.localdb}`];
  await refused(t, at, 2, ['--scheme', 'segments are of all schemes'], args);
});

test('a hint of several lines is shown as such', async (t) => {
  const at = filledPlaces(t);
  const run = await lbsExits(t, 2, ['restore', `--store=${at.store}`, 'latest']);
  t.regex(
    run.stderr,
    /^ +usage: lbs restore .*\n +lbs restore --store=STORE --original-place .*\n/m,
  );
});

test('absolute and relative paths cannot be mixed', async (t) => {
  const at = filledPlaces(t);
  const args = [...backupOptions(at), at.tree, 'letters'];
  await refused(t, at, 2, ['relative and absolute', at.tree, 'letters'], args, { cwd: at.tree });
});

test('a path that does not exist is an error before anything is written', async (t) => {
  const at = filledPlaces(t);
  const missing = join(at.tree, 'no-such-place');
  await refused(t, at, 1, [missing, /[Nn]o such file/], [...backupOptions(at), at.tree, missing]);
});

test('an unknown option is refused, with the one that was perhaps meant', async (t) => {
  const at = filledPlaces(t);
  await refused(t, at, 2, ['--exlude', '--exclude'], [...backupOptions(at), '--exlude=x', at.tree]);
  await refused(t, at, 2, ['-Z'], [...backupOptions(at), '-Z', at.tree]);
  await refused(
    t,
    at,
    2,
    ['--objekts', '--objects'],
    ['verify', `--store=${at.store}`, '--objekts'],
  );
});

test('an option without its value, and a switch with one, are refused', async (t) => {
  const at = filledPlaces(t);
  await refused(t, at, 2, ['--exclude', 'value'], [...backupOptions(at), at.tree, '--exclude']);
  await refused(t, at, 2, ['--dry-run', 'value'], [...backupOptions(at), '--dry-run=yes', at.tree]);
});

test('values that make no sense are refused', async (t) => {
  const at = filledPlaces(t);
  for (const option of ['--segment-size=big', '--segment-size=-1', '--reread=200', '--reread=x']) {
    const name = option.slice(0, option.indexOf('='));
    await refused(t, at, 2, [name], [...backupOptions(at), option, at.tree]);
  }
});

test('a word that is nearly a command is not taken for a path', async (t) => {
  const at = filledPlaces(t);
  await refused(t, at, 2, [/restor/], ['restor', `--store=${at.store}`, 'latest', at.target]);
});

test('scheme names that cannot be part of a file name are refused', async (t) => {
  const at = filledPlaces(t);
  for (const scheme of ['a/b', '../x', '.', 'a.b', 'a b', '', '-x', 'é', '20261120T091421']) {
    await refused(t, at, 2, ['--scheme'], [...backupOptions(at), `--scheme=${scheme}`, at.tree]);
  }
});

test('a snapshot that does not exist is refused by every command', async (t) => {
  const at = filledPlaces(t);
  await lbsOk(t, [...backupOptions(at), at.tree]);
  const store = `--store=${at.store}`;
  for (const name of ['20010101T000000', 'latest~5', 'nonsense', '../escape']) {
    await refused(t, at, 10, [name], ['ls', store, name]);
    await refused(t, at, 10, [name], ['verify', store, name]);
    await refused(t, at, 10, [name], ['restore', store, name, at.target]);
  }
  t.false(existsSync(at.target));
});

test('"latest" in an empty store is refused', async (t) => {
  const at = filledPlaces(t);
  await refused(
    t,
    at,
    10,
    [/no snapshot/],
    ['restore', `--store=${at.store}`, 'latest', at.target],
  );
  await refused(t, at, 10, [/no snapshots to verify/], ['verify', `--store=${at.store}`]);
});

test('"latest" needs a scheme where there are several, and a prefix must be unique', async (t) => {
  const at = filledPlaces(t);
  await lbsOk(t, [...backupOptions(at), '--scheme=home', at.tree]);
  await lbsOk(t, [...backupOptions(at), '--scheme=mail', at.tree]);
  const store = `--store=${at.store}`;
  await refused(t, at, 2, ['home', 'mail', '--scheme'], ['ls', store, 'latest']);
  await lbsOk(t, ['ls', store, '--scheme=mail', 'latest']);
  await lbsOk(t, ['ls', store, 'mail']);
  await lbsOk(t, [...backupOptions(at), '--scheme=mail', at.tree]);
  await refused(t, at, 2, ['mail-2'], ['ls', store, 'mail-2']);
});

test('a target that cannot be made or is no directory is refused', async (t) => {
  const at = filledPlaces(t);
  await lbsOk(t, [...backupOptions(at), at.tree]);
  const restore = ['restore', `--store=${at.store}`, 'latest'];
  const orphan = join(at.base, 'no', 'parent');
  await refused(t, at, 1, [orphan], [...restore, orphan]);
  t.false(existsSync(join(at.base, 'no')));
  const file = join(at.base, 'file');
  writeFileSync(file, 'mine');
  await refused(t, at, 1, [file, 'not a directory'], [...restore, file]);
});

test('a restore that names nothing of the snapshot says so', async (t) => {
  const at = filledPlaces(t);
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  const args = ['restore', `--store=${at.store}`, 'latest', at.target, 'letters/three'];
  await refused(t, at, 1, ['letters/three'], args);
});

test('temporary files that cannot be kept are told of as that', async (t) => {
  const at = places(t);
  const names = Array.from({ length: 400 }, (_, n) => `${n}${'x'.repeat(200)}`);
  makeFiles(at.tree, Object.fromEntries(names.map((name) => [name, name])));
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  const env = { TMPDIR: join(at.base, 'not there') };
  const words = ['cannot keep temporary files in', 'ENOENT', 'TMPDIR'];
  await refused(t, at, 1, words, ['restore', `--store=${at.store}`, 'latest', at.target], { env });
  t.false(existsSync(at.target));
});

test('a target without room is refused before anything is written', async (t) => {
  const at = filledPlaces(t);
  await lbsOk(t, [...backupOptions(at), at.tree]);
  mkdirSync(at.target);
  if (!mountTmpfs(at.target, 128 * 1024)) return t.pass('no mounts here');
  const args = ['restore', `--store=${at.store}`, 'latest', at.target];
  await refused(t, at, 1, [at.target, /room|space/], args);
  t.deepEqual(readdirSync(at.target), []);
});

test('a missing local database of a store with snapshots is made anew', async (t) => {
  const at = filledPlaces(t);
  await lbsOk(t, [...backupOptions(at), at.tree]);
  const other = join(at.base, 'other');
  mkdirSync(other);
  await lbsOk(t, [`--dest=${at.store}`, `--localdb=${other}`, at.tree]);
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
});

test('a damaged local database is refused, with what to do about it', async (t) => {
  const at = filledPlaces(t);
  await lbsOk(t, [...backupOptions(at), at.tree]);
  const database = readdirSync(at.localdb).find((name) => name.endsWith('.sqlite')) ?? '';
  t.not(database, '');
  for (const name of readdirSync(at.localdb)) {
    if (name.startsWith(`${database}-`)) writeFileSync(join(at.localdb, name), '');
  }
  writeFileSync(join(at.localdb, database), 'this is not a database'.repeat(1000));
  const run = await lbs(t, [...backupOptions(at), at.tree]);
  t.is(run.code, 1, run.stderr);
  t.true(run.stderr.includes(at.localdb), run.stderr);
  t.regex(run.stderr, /\bmv |rebuild/, 'no command that helps is named');
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
});

test('unreadable keys and lists of files are refused', async (t) => {
  const at = filledPlaces(t);
  const absent = join(at.base, 'absent');
  await refused(t, at, 12, [absent], [...backupOptions(at), `--sign-key=${absent}`, at.tree]);
  const files = await lbs(t, [...backupOptions(at), `--files-from=${absent}`]);
  t.true(files.code === 1 || files.code === 2, files.stderr);
  t.true(files.stderr.includes(absent));
  const both = ['--signature-filter=cat', `--sign-key=${absent}`];
  await refused(
    t,
    at,
    2,
    ['--sign-key', '--signature-filter'],
    [...backupOptions(at), ...both, at.tree],
  );
});

test("root is not needed to be told of one's mistakes", async (t) => {
  if (!isRoot || !ordinaryUserCanRun(t)) return t.pass();
  const at = filledPlaces(t, 'ordinary');
  const missing = join(at.tree, 'no-such-place');
  await refused(t, at, 1, [missing], [...backupOptions(at), missing], { user: 'ordinary' });
});

test('a local database where no directory can be made is an error at once', async (t) => {
  const at = places(t);
  const run = await lbsExits(t, 1, [`--dest=${at.store}`, '--localdb=/proc/no/where', at.tree]);
  t.regex(run.stderr, /cannot use \/proc\/no\/where for the local database/);
  const deep = join(at.base, 'a', 'b', 'c');
  await lbsOk(t, [`--dest=${at.store}`, `--localdb=${deep}`, at.tree]);
  t.true(existsSync(join(deep, 'lbs-localdb.sqlite')));
});

test('a URL that is none, or of another machine, is refused as a store', async (t) => {
  const at = filledPlaces(t);
  const local = [`--localdb=${at.localdb}`, at.tree];
  await refused(t, at, 2, ['is not a usable URL', '%25'], ['--dest=file:///mnt/100%', ...local]);
  const words = ['"file://mnt/backup" does not name a directory of this machine'];
  await refused(t, at, 2, words, ['--dest=file://mnt/backup', ...local], { cwd: at.base });
});
