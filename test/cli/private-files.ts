/**
 * What a run makes on the machine where it runs is for its user alone, from the first moment on, and a
 * file that comes back is never open to more people than it is in the end. See SECURITY.md, "Secrets".
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { backupOptions, type Places, places, restored } from '../helpers/places.ts';
import { PROJECT, lbs, lbsOk } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { segmentFiles } from '../helpers/store-state.ts';
import { canTrace } from '../helpers/strace.ts';
import { ORDINARY_USER, isRoot, tempDir } from '../helpers/temp-dir.ts';
import { type ModeEvent, TracedModes, tracingModes } from '../helpers/traced-modes.ts';

const OTHERS = 0o077;
const OTHERS_READ_OR_WRITE = 0o066;
const SET_ID = 0o6000;

type Watched = {
  readonly modes: TracedModes;
  /** Runs lbs, which is to end with 0 or 3. */
  readonly run: (args: readonly string[], env?: Record<string, string>) => Promise<void>;
};

/** Temporary files go to a directory that anybody may enter, as /tmp is. */
function watching(t: ExecutionContext, at: Places): Watched {
  const tmp = join(at.base, 'tmp');
  mkdirSync(tmp, { recursive: true });
  chmodSync(tmp, 0o777);
  const modes = new TracedModes();
  const run = async (args: readonly string[], env: Record<string, string> = {}) => {
    const log = join(tempDir(t), 'log');
    const through = tracingModes(log);
    const { code, stderr } = await lbs(t, args, { env: { TMPDIR: tmp, ...env }, through });
    t.true(code === 0 || code === 3, `lbs ${args.join(' ')}: ${code} ${stderr}`);
    modes.read(log);
  };
  return { modes, run };
}

const modesOf = (events: readonly ModeEvent[]) =>
  events.flatMap((event) => (event.did === 'owner' ? [] : [event.mode]));

/** Paths below `directories` that others could do anything with, and not because a directory kept them out. */
function openTo(others: number, modes: TracedModes, directories: readonly string[]): string[] {
  const closed = [...modes.files]
    .filter(([, events]) => modesOf(events).every((mode) => (mode & OTHERS) === 0))
    .map(([path]) => path.replace(/ \(.*/, ''));
  return [...modes.files].flatMap(([path, events]) => {
    if (!directories.some((directory) => path.startsWith(`${directory}/`))) return [];
    if (closed.some((above) => path.startsWith(`${above}/`))) return [];
    const wide = modesOf(events).find((mode) => (mode & others) !== 0);
    return wide === undefined ? [] : [`${path}: ${wide.toString(8)}`];
  });
}

test('the local database and temporary files are for their user alone at every moment', async (t) => {
  if (!canTrace) return t.pass('left out: no tracing here');
  const at = places(t);
  makeFiles(at.tree, { one: 'one\n', two: 'x'.repeat(300_000) });
  // Directories that were there before keep nobody out.
  for (const place of [at.localdb, at.store]) chmodSync(place, 0o777);
  const { modes, run } = watching(t, at);
  const other = join(at.base, 'other');
  mkdirSync(other, { mode: 0o777 });
  const local = `--localdb=${at.localdb}`;
  const store = `--store=${at.store}`;
  await run([`--dest=${at.store}`, `--dest=${other}`, local, at.tree]);
  makeFiles(at.tree, { three: 'three\n' });
  await run([...backupOptions(at), '--dry-run', at.tree]);
  await run([...backupOptions(at), '--filter=cat -', '--filter-extension=', at.tree]);
  await run(['verify', store, '--data', local]);
  await run(['restore', store, 'latest', at.target]);
  await run(['dump', store, 'latest']);
  await run(['diff', store, 'latest~1', 'latest']);
  await run(['prune', store, local, '--keep-last=1']);
  await run(['compact', store, local, '--all']);
  await run(['rebuild', store, `--localdb=${join(at.base, 'again')}`]);
  if (spawnSync('par2', ['--version']).status === 0) {
    await run(['parity', store]);
    const [segment = ''] = segmentFiles(at.store);
    writeFileSync(join(at.store, segment), 'damage', { flag: 'r+' });
    await run(['heal', store]);
  }
  const uploaded = join(at.base, 'uploaded');
  mkdirSync(uploaded);
  const script = join(PROJECT, 'test', 'fixtures', 'uploads', 'by-lines');
  const upload = [
    `--upload-script=${script} ${uploaded} flat`,
    `--localdb=${join(at.base, 'sent')}`,
  ];
  await run([...upload, at.tree]);
  const ours = [
    at.localdb,
    join(at.base, 'tmp'),
    join(at.base, 'again'),
    join(at.base, 'sent'),
    '/var/tmp',
  ];
  const seen = [...modes.files.keys()].join('\n');
  for (const name of [
    /lbs-localdb\.sqlite$/m,
    /sqlite-wal /,
    /lbs-statcache$/m,
    /lbs-seen$/m,
    /\.lock$/m,
    /tmp\/lbs-/,
  ])
    t.regex(seen, name);
  t.deepEqual(openTo(OTHERS, modes, ours), []);
  for (const directory of ours.slice(0, 4))
    for (const name of readdirSync(directory))
      t.is(statSync(join(directory, name)).mode & OTHERS, 0, name);
});

test('a restored file is never open to more people than in the end, and set-id bits come last', async (t) => {
  if (!canTrace || !isRoot) return t.pass('left out: only root gives files to others');
  const at = places(t);
  makeFiles(at.tree, {
    secret: 'secret\n',
    shared: 'shared\n',
    program: 'program\n',
    'private/in': 'in\n',
  });
  const large = 'x'.repeat(3 * 1024 * 1024);
  writeFileSync(join(at.tree, 'large'), large);
  const set = (tree: string, name: string, mode: number, owner = ORDINARY_USER) => {
    chownSync(join(tree, name), owner, owner);
    chmodSync(join(tree, name), mode);
  };
  set(at.tree, 'secret', 0o600);
  set(at.tree, 'shared', 0o640);
  set(at.tree, 'large', 0o400);
  set(at.tree, 'program', 0o4711);
  set(at.tree, 'private/in', 0o644);
  set(at.tree, 'private', 0o700);
  spawnSync('mkfifo', [join(at.tree, 'fifo')]);
  set(at.tree, 'fifo', 0o600);
  symlinkSync('secret', join(at.tree, 'link'));
  await lbsOk(t, [...backupOptions(at), at.tree]);
  const names = ['secret', 'shared', 'large', 'program', 'private', 'private/in', 'fifo'];
  const restore = ['restore', `--store=${at.store}`, 'latest', at.target];
  const back = restored(at.target, at.tree);
  const made = watching(t, at);
  await made.run(restore);
  for (const name of names) neverOpener(t, join(back, name), made.modes);
  // Opened up to root's group, which then is the group of the one who gets it.
  const corrected = watching(t, at);
  for (const name of names) {
    set(back, name, 0o777, 0);
    corrected.modes.files.set(join(back, name), [{ did: 'made', mode: 0o777 }]);
  }
  await corrected.run(restore);
  for (const name of names) neverOpener(t, join(back, name), corrected.modes);
});

/** From its second event on, as the first is how it was found. */
function neverOpener(t: ExecutionContext, path: string, modes: TracedModes): void {
  const [first, ...events] = modes.files.get(path) ?? [];
  const end = statSync(path).mode & 0o7777;
  let now = first?.did === 'made' ? first.mode : -1;
  t.not(now, -1, `${path} was not seen`);
  t.true(
    events.some(({ did }) => did === 'owner'),
    path,
  );
  for (const event of events) {
    if (event.did !== 'owner') now = event.mode;
    t.is(now & OTHERS_READ_OR_WRITE & ~end, 0, `${path}: ${now.toString(8)}`);
    if (event.did === 'owner') t.is(now & SET_ID, 0, `${path}: set-id before the owner`);
  }
  t.is(now, end, path);
}
