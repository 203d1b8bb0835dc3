/** `lbs restore` as people need it: what it replaces, leaves out, strips, and tells. */
import {
  chmodSync,
  existsSync,
  lstatSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { backupOptions, type Places } from '../helpers/places.ts';
import { jsonMessage, lbsExits, lbsOk } from '../helpers/run-lbs.ts';
import { entryLines, restore, savedTree } from '../helpers/saved-tree.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { type TreeState, readTree, sameTree } from '../helpers/tree-state.ts';

const OLD = new Date('2020-01-01T00:00:00Z');
const NEW = new Date('2026-01-01T00:00:00Z');

const contentOf = (at: Places, path: string) => readFileSync(join(at.target, path), 'utf8');

test('restoring the same tree again prints nothing and writes nothing', async (t) => {
  const at = await savedTree(t);
  const first = await restore(t, at, 'latest', at.target);
  t.regex(first.stdout, /^Files: +6 written, 0 already as recorded; 14 entries in all$/m);
  sameTree(t, readTree(at.tree), readTree(at.target));
  const before = readTree(at.target);
  const again = await restore(t, at, 'latest', at.target);
  t.is(again.stdout, '');
  t.is(again.stderr, '');
  sameTree(t, before, readTree(at.target), { ctimes: true });
  const json = jsonMessage(await restore(t, at, '--json', 'latest', at.target), 'summary');
  t.is(json['changed'], false);
  t.is(json['files_restored'], 0);
});

test('a second run writes only what is missing, and says so', async (t) => {
  const at = await savedTree(t);
  await restore(t, at, 'latest', at.target);
  rmSync(join(at.target, 'home/bea/big'));
  const kept = statSync(join(at.target, 'home/ann/letters/a'), { bigint: true });
  const run = await restore(t, at, 'latest', at.target);
  t.regex(run.stdout, /^Files: +1 written, 5 already as recorded; 14 entries in all$/m);
  const now = statSync(join(at.target, 'home/ann/letters/a'), { bigint: true });
  t.deepEqual([now.ino, now.ctimeNs], [kept.ino, kept.ctimeNs]);
  sameTree(t, readTree(at.tree), readTree(at.target));
});

/** The target with a file that was changed, one that is newer, one that is older, and one more. */
function spoilTarget(at: Places): void {
  makeFiles(at.target, {
    'home/ann/letters/a': 'changed, and newer\n',
    'home/bea/big': 'changed, and older\n',
    'home/ann/mine': 'not in the snapshot\n',
  });
  utimesSync(join(at.target, 'home/ann/letters/a'), NEW, NEW);
  utimesSync(join(at.target, 'home/bea/big'), OLD, OLD);
}

test('--overwrite=if-changed, the default, replaces whatever is not as recorded', async (t) => {
  const at = await savedTree(t);
  spoilTarget(at);
  await restore(t, at, '--overwrite=if-changed', 'latest', at.target);
  t.is(contentOf(at, 'home/ann/letters/a'), 'letter a\n');
  t.is(contentOf(at, 'home/bea/big').length, 300_000);
  t.is(contentOf(at, 'home/ann/mine'), 'not in the snapshot\n');
});

test('--overwrite=if-newer keeps what is newer than in the snapshot', async (t) => {
  const at = await savedTree(t);
  spoilTarget(at);
  const run = await restore(t, at, '--overwrite=if-newer', 'latest', at.target);
  t.is(contentOf(at, 'home/ann/letters/a'), 'changed, and newer\n');
  t.is(contentOf(at, 'home/bea/big').length, 300_000);
  t.regex(run.stdout, /1 kept as in the target/);
});

test('--overwrite=never only adds what is not there', async (t) => {
  const at = await savedTree(t);
  spoilTarget(at);
  symlinkSync('elsewhere', join(at.target, 'home/ann/link'));
  chmodSync(join(at.target, 'home/bea'), 0o711);
  const run = await restore(t, at, '--overwrite=never', 'latest', at.target);
  t.is(contentOf(at, 'home/ann/letters/a'), 'changed, and newer\n');
  t.is(contentOf(at, 'home/bea/big'), 'changed, and older\n');
  t.is(contentOf(at, 'home/ann/one'), 'one\n');
  t.is(lstatSync(join(at.target, 'home/bea')).mode & 0o777, 0o711);
  t.regex(run.stdout, /^Files: +4 written, 0 already as recorded, 3 kept as in the target; /m);
});

test('--overwrite=never restores further names of a file that is kept with their own content', async (t) => {
  const at = await savedTree(t);
  makeFiles(at.target, { 'home/ann/one': 'mine\n' });
  await restore(t, at, '--overwrite=never', 'latest', at.target);
  t.is(contentOf(at, 'home/ann/one'), 'mine\n');
  t.is(contentOf(at, 'home/bea/one-too'), 'one\n');
});

test('--overwrite=always writes again what is as recorded', async (t) => {
  const at = await savedTree(t);
  await restore(t, at, 'latest', at.target);
  const path = join(at.target, 'home/bea/big');
  const before = statSync(path).ino;
  const run = await restore(t, at, '--overwrite=always', 'latest', at.target);
  t.not(statSync(path).ino, before);
  t.regex(run.stdout, /^Files: +6 written, 0 already as recorded/m);
  sameTree(t, readTree(at.tree), readTree(at.target));
});

test('--dry-run names what would be written and fetched, and changes nothing', async (t) => {
  const at = await savedTree(t);
  const dry = await restore(t, at, '-n', '-v', 'latest', at.target);
  t.false(existsSync(at.target));
  const names = entryLines(dry);
  t.true(names.includes('home/ann/link') && names.includes('home/bea/empty'), dry.stdout);
  t.is(names.filter((line) => /\.tar\.zst \[to fetch, /.test(line)).length, 1, dry.stdout);
  t.regex(dry.stdout, /^Dry run: +nothing was written$/m);
  t.regex(dry.stdout, /^To fetch: +at most .* in 1 segment$/m);
  await restore(t, at, 'latest', at.target);
  const again = await restore(t, at, '-n', '-v', 'latest', at.target);
  t.deepEqual(entryLines(again), []);
  t.regex(again.stdout, /^Files: +0 to write, 6 already as recorded/m);
  rmSync(join(at.target, 'home/ann/one'));
  chmodSync(join(at.target, 'home/bea'), 0o700);
  const before = readTree(at.target);
  const args = ['-n', '-v', '--json', 'latest', at.target];
  const planned = await restore(t, at, ...args);
  sameTree(t, before, readTree(at.target), { ctimes: true });
  const summary = jsonMessage(planned, 'summary');
  t.is(summary['dry_run'], true);
  t.true(Number(summary['bytes_to_fetch']) > 0);
  const real = jsonMessage(await restore(t, at, '-v', '--json', 'latest', at.target), 'summary');
  t.is(summary['files_restored'], real['files_restored']);
  t.is(summary['bytes_restored'], real['bytes_restored']);
});

test('--exclude and --include choose what is restored, and make no directories for nothing', async (t) => {
  const at = await savedTree(t);
  const rules = ['--exclude=home/*', '--include=*.tmp'];
  await restore(t, at, ...rules, 'latest', at.target);
  t.deepEqual(
    [...readTree(at.target).keys()],
    ['.', 'home', 'home/ann', 'home/ann/letters', 'home/ann/letters/b.tmp'],
  );
  const other = join(at.base, 'other');
  await restore(t, at, '--exclude=*.tmp', 'latest', other, 'home/ann/letters');
  t.deepEqual(
    [...readTree(other).keys()],
    ['.', 'home', 'home/ann', 'home/ann/letters', 'home/ann/letters/a'],
  );
});

test('rules of the configuration, which are for backups, leave nothing out of a restore', async (t) => {
  const at = await savedTree(t);
  const config = join(at.base, 'config');
  writeFileSync(config, 'exclude = *.tmp\n', { mode: 0o600 });
  await restore(t, at, `--config=${config}`, 'latest', at.target);
  sameTree(t, readTree(at.tree), readTree(at.target));
});

test('--strip-components takes the first names away, and refuses to give one name to two files', async (t) => {
  const at = await savedTree(t);
  await restore(t, at, '--strip-components=2', 'latest', at.target, 'home/ann');
  t.deepEqual(
    [...readTree(at.target).keys()],
    ['.', '.cache', '.cache/c', 'letters', 'letters/a', 'letters/b.tmp', 'link', 'one'],
  );
  chmodSync(join(at.tree, 'home/ann'), 0o700);
  makeFiles(at.tree, { 'home/bea/one': 'of bea\n' });
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  const other = join(at.base, 'other');
  const args = ['restore', `--store=${at.store}`, '--strip-components=2', 'latest', other];
  const run = await lbsExits(t, 3, args);
  t.regex(run.stderr, /home\/bea\/one: it is left out/);
  t.is(readFileSync(join(other, 'one'), 'utf8'), 'one\n');
  t.true(existsSync(join(other, 'big')));
});

test('--strip-components with --delete makes a directory equal to one of the snapshot', async (t) => {
  const at = await savedTree(t);
  makeFiles(at.target, { 'extra/file': 'x', 'letters/old': 'y' });
  await restore(t, at, '--delete', '--strip-components=2', 'latest', at.target, 'home/ann');
  const found = readTree(at.target);
  const wanted = readTree(join(at.tree, 'home/ann'));
  t.deepEqual([...found.keys()], [...wanted.keys()]);
});

test('--original-place restores to where the snapshot was made, and only when it is named', async (t) => {
  const at = await savedTree(t);
  const before = readTree(at.tree);
  rmSync(join(at.tree, 'home/ann/letters'), { recursive: true });
  const run = await restore(t, at, '--original-place', 'latest', 'home/ann/letters');
  t.true(run.stdout.includes(`Target:   ${at.tree}\n`), run.stdout);
  const below = (tree: TreeState) =>
    new Map([...tree].filter(([path]) => path.startsWith('home/ann/letters')));
  sameTree(t, below(before), below(readTree(at.tree)));
  const none = await lbsExits(t, 2, ['restore', `--store=${at.store}`, 'latest']);
  t.regex(none.stderr, /no target directory given/);
  const both = ['restore', `--store=${at.store}`, '--original-place', '--target=x', 'latest'];
  await lbsExits(t, 2, both);
});

test('a snapshot that does not say where it was made has no original place', async (t) => {
  const at = await savedTree(t);
  const name = readdirSync(at.store).find((each) => each.endsWith('.lbs')) ?? '';
  const path = join(at.store, name);
  const text = readFileSync(path, 'utf8');
  writeFileSync(path, text.replace(/^Top: .*\n/m, ''));
  const args = ['restore', `--store=${at.store}`, '--original-place', 'latest'];
  const run = await lbsExits(t, 2, args);
  t.regex(run.stderr, /does not say where it was made/);
  t.regex(run.stderr, /name the TARGET/);
});

test('a snapshot of another machine goes to its place here only by its whole name', async (t) => {
  const at = await savedTree(t);
  const name = readdirSync(at.store).find((each) => each.endsWith('.lbs')) ?? '';
  const path = join(at.store, name);
  writeFileSync(path, readFileSync(path, 'utf8').replace(/^Host: .*$/m, 'Host: other'));
  writeFileSync(join(at.tree, 'home/ann/one'), 'of this machine');
  const args = ['restore', `--store=${at.store}`, '--original-place'];
  for (const word of ['latest', 'latest~0', name.slice(9, 15)]) {
    const run = await lbsExits(t, 2, [...args, word]);
    t.regex(run.stderr, /^lbs: snapshot \S+ was made on other, and this is /m);
  }
  t.is(readFileSync(join(at.tree, 'home/ann/one'), 'utf8'), 'of this machine');
  await lbsOk(t, [...args, name.slice(9, -4), 'home/ann/one']);
  t.is(readFileSync(join(at.tree, 'home/ann/one'), 'utf8'), 'one\n');
});

test('--target=- writes one file to standard output', async (t) => {
  const at = await savedTree(t);
  const run = await restore(t, at, '--target=-', 'latest', 'home/ann/letters/a');
  t.is(run.stdout, 'letter a\n');
  const options = ['restore', `--store=${at.store}`, '--target=-'];
  await lbsExits(t, 2, [...options, 'latest']);
  await lbsExits(t, 2, [...options, 'latest', 'home/ann/one', 'home/bea/big']);
  await lbsExits(t, 2, [...options, '--delete', 'latest', 'home/ann/one']);
  await lbsExits(t, 1, [...options, 'latest', 'no/such/file']);
  const other = join(at.base, 'by-option');
  await restore(t, at, `--target=${other}`, 'latest', 'home/ann');
  t.true(existsSync(join(other, 'home/ann/one')));
});

for (const args of [
  ['--overwrite=sometimes'],
  ['--strip-components=-1'],
  ['--strip-components=two'],
  ['--exclude='],
]) {
  test(`${args.join(' ')} is wrong use, and nothing is written`, async (t) => {
    const at = await savedTree(t);
    await lbsExits(t, 2, ['restore', `--store=${at.store}`, ...args, 'latest', at.target]);
    t.false(existsSync(at.target));
  });
}

test('--rules takes the rules of a file, in the language of backups', async (t) => {
  const at = await savedTree(t);
  const rules = join(at.base, 'rules');
  writeFileSync(
    rules,
    '# letters only\n+ /home/ann/letters/\n- *.tmp\n+ /home/ann/letters/*\n+ /home/\n+ /home/ann/\n- *\n',
  );
  await restore(t, at, `--rules=${rules}`, 'latest', at.target);
  t.deepEqual(
    [...readTree(at.target).keys()],
    ['.', 'home', 'home/ann', 'home/ann/letters', 'home/ann/letters/a'],
  );
  writeFileSync(rules, '* nonsense\n');
  const args = ['restore', `--store=${at.store}`, `--rules=${rules}`, 'latest', at.target];
  const run = await lbsExits(t, 2, args);
  t.regex(run.stderr, /line 1/);
});
