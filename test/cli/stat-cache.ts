/** What is read again and what is not: the stat cache, from the outside. */
import { spawnSync } from 'node:child_process';
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import '../helpers/on-disk.ts';
import { backupOptions, clockAhead, places, type Places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { jsonMessage, lbs, lbsExits, lbsOk, type Run } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { isRoot } from '../helpers/temp-dir.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';
import * as libc from '../../src/posix/libc.ts';

const FILES = {
  one: 'first',
  'p/two': 'second',
  'p/q/three': 'third',
  '#x': '4',
  '+x': '5',
  '-x': '6',
  ',x': '7',
};
const COUNT = Object.keys(FILES).length;

type Told = { readonly unmodified: number; readonly bytesRead: number; readonly added: number };

function told(run: Run): Told {
  const summary = jsonMessage(run, 'summary');
  return {
    unmodified: Number(summary['files_unmodified']),
    bytesRead: Number(summary['bytes_read']),
    added: Number(summary['content_added']),
  };
}

/** A backup as if `aheadS` seconds had passed, long after everything was last changed. */
async function backupLater(
  t: ExecutionContext,
  at: Places,
  aheadS: number,
  args: readonly string[] = ['.'],
): Promise<Told> {
  const options = { cwd: at.tree, env: clockAhead(aheadS) };
  return told(await lbsOk(t, ['--json', ...backupOptions(at), ...args], options));
}

const NOTHING_READ: Told = { unmodified: COUNT, bytesRead: 0, added: 0 };

test('one full read is enough: the second run reads nothing, whatever the names', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  const first = await backupLater(t, at, 1000);
  t.deepEqual(first, { unmodified: 0, bytesRead: 20, added: 20 });
  t.deepEqual(await backupLater(t, at, 2000), NOTHING_READ);
  t.deepEqual(await backupLater(t, at, 3000), NOTHING_READ);
});

test('paths in any order, and written in any way, hit the cache', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  await backupLater(t, at, 1000, ['one', 'p', './#x', '+x', './-x', ',x']);
  const again = await backupLater(t, at, 2000, [
    ',x',
    'p/q/..',
    './-x',
    'p/two',
    'one',
    './+x',
    '#x',
  ]);
  t.deepEqual(again, NOTHING_READ);
});

test('a file that keeps its size and time of modification is read again when changed', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  await backupLater(t, at, 1000);
  const file = join(at.tree, 'p/two');
  const { mtimeNs } = statSync(file, { bigint: true });
  writeFileSync(file, 'SECOND');
  libc.setTimeAt(libc.AT_FDCWD, libc.cString(file), mtimeNs);
  t.is(statSync(file, { bigint: true }).mtimeNs, mtimeNs);
  const second = await backupLater(t, at, 2000);
  t.is(second.unmodified, COUNT - 1);
  t.is(second.bytesRead, 6);
  t.is(second.added, 6);
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  t.is(readFileSync(join(at.target, 'p/two'), 'utf8'), 'SECOND');
});

test('deleting the cache costs reading, and nothing else', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  const first = await backupLater(t, at, 1000);
  const caches = readdirSync(at.localdb).filter((name) => name.includes('statcache'));
  t.is(caches.length, 1);
  for (const name of caches) rmSync(join(at.localdb, name));
  const second = await backupLater(t, at, 2000);
  t.is(second.bytesRead, first.bytesRead);
  t.is(second.added, 0);
  t.deepEqual(await backupLater(t, at, 3000), NOTHING_READ);
});

test('a damaged cache is as good as none', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  const first = await backupLater(t, at, 1000);
  const cache = join(
    at.localdb,
    readdirSync(at.localdb).find((name) => name.includes('statcache')) ?? '',
  );
  const whole = readFileSync(cache);
  let aheadS = 2000;
  for (const damaged of [
    whole.subarray(0, whole.length / 2),
    Buffer.alloc(0),
    pseudoRandom('x', 9999),
  ]) {
    writeFileSync(cache, damaged);
    const run = await backupLater(t, at, aheadS++);
    t.is(run.bytesRead, first.bytesRead);
    t.is(run.added, 0);
  }
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
});

test('a file changed just before the run is read again by the next one', async (t) => {
  const at = places(t);
  // The run's clock stands still from before the files were made, however slow the machine is.
  const env = clockAhead(0);
  makeFiles(at.tree, FILES);
  await lbsOk(t, ['--json', ...backupOptions(at), '.'], { cwd: at.tree, env });
  const second = await backupLater(t, at, 2000);
  t.is(second.bytesRead, 20);
  t.is(second.added, 0);
  t.deepEqual(await backupLater(t, at, 3000), NOTHING_READ);
});

test('a change of mode or owner alone is recorded without reading the content', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { file: pseudoRandom('f', 100_000) });
  await backupLater(t, at, 1000);
  spawnSync('chmod', ['600', join(at.tree, 'file')]);
  const run = await backupLater(t, at, 2000);
  t.is(run.added, 0);
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  sameTree(t, readTree(at.tree), readTree(at.target));
});

test('each scheme has its own cache', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  await backupLater(t, at, 1000, ['--scheme=a', '.']);
  const other = await backupLater(t, at, 2000, ['--scheme=b', 'p']);
  t.is(other.bytesRead, 11);
  t.is(other.added, 0);
  t.deepEqual(await backupLater(t, at, 3000, ['--scheme=a', '.']), NOTHING_READ);
});

test('--rebuild-statcache reads everything', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  await backupLater(t, at, 1000);
  const second = await backupLater(t, at, 2000, ['--rebuild-statcache', '.']);
  t.is(second.bytesRead, 20);
  t.is(second.added, 0);
  t.deepEqual(await backupLater(t, at, 3000), NOTHING_READ);
});

test('--reread reads unchanged files again, and stores nothing', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  await backupLater(t, at, 1000);
  const all = await backupLater(t, at, 2000, ['--reread=100', '.']);
  t.is(all.bytesRead, 20);
  t.is(all.added, 0);
  t.is((await backupLater(t, at, 3000, ['--reread=0', '.'])).bytesRead, 0);
});

/** A filesystem in a file, mounted: its bytes can be changed behind its back. */
class ImageMount {
  readonly image: string;
  readonly place: string;

  constructor(base: string, place: string) {
    this.image = join(base, 'image');
    this.place = place;
  }

  make(): boolean {
    writeFileSync(this.image, '');
    truncateSync(this.image, 8 << 20);
    mkdirSync(this.place, { recursive: true });
    return isRoot && spawnSync('mkfs.ext4', ['-q', this.image]).status === 0 && this.mount();
  }

  mount(): boolean {
    return spawnSync('mount', ['-o', 'loop', this.image, this.place]).status === 0;
  }

  unmount(): boolean {
    return spawnSync('umount', [this.place]).status === 0;
  }
}

test('content that changed although its times did not is reported as suspected corruption', async (t) => {
  const at = places(t);
  const disk = new ImageMount(at.base, at.tree);
  if (!disk.make()) return t.pass('no loop mounts here');
  const content = pseudoRandom('victim', 200_000);
  makeFiles(at.tree, { 'dir/victim': content, 'dir/other': 'x' });
  await backupLater(t, at, 1000);
  t.true(disk.unmount());
  const bytes = readFileSync(disk.image);
  const found = bytes.indexOf(content.subarray(0, 64));
  t.true(found > 0);
  bytes.writeUInt8((bytes[found] ?? 0) ^ 1, found);
  writeFileSync(disk.image, bytes);
  t.true(disk.mount());
  t.is((await backupLater(t, at, 2000)).bytesRead, 0, 'nothing looks changed');
  const options = { cwd: at.tree, env: clockAhead(3000) };
  const run = await lbsExits(t, 3, [...backupOptions(at), '--reread=100', '.'], options);
  t.true(run.stderr.includes('dir/victim'), run.stderr);
  t.regex(run.stderr, /although its times did not/);
  t.false(run.stderr.includes('dir/other'), run.stderr);
  // The good content is still where it was.
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest~1', at.target]);
  t.deepEqual(readFileSync(join(at.target, 'dir/victim')), content);
});

test('a device that got another number does not make everything be read again', async (t) => {
  const at = places(t);
  const disk = new ImageMount(at.base, at.tree);
  if (!disk.make()) return t.pass('no loop mounts here');
  makeFiles(at.tree, FILES);
  await backupLater(t, at, 1000);
  const before = lstatSync(at.tree).dev;
  t.true(disk.unmount());
  // Takes the number that was free again, so that the image gets the next.
  const dummy = join(at.base, 'dummy');
  writeFileSync(dummy, Buffer.alloc(1 << 20));
  const loop = String(spawnSync('losetup', ['--find', '--show', dummy]).stdout).trim();
  t.teardown(() => spawnSync('losetup', ['--detach', loop]));
  t.true(disk.mount());
  if (lstatSync(at.tree).dev === before) t.log('the device kept its number: this shows nothing');
  const again = await backupLater(t, at, 2000);
  t.is(again.bytesRead, 0);
});

test('a cache that outlived its local database offers nothing that is unknown', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  await backupLater(t, at, 1000);
  // The new local database knows nothing of the store; the cache names what is in it.
  for (const name of readdirSync(at.localdb)) {
    if (!name.includes('statcache')) rmSync(join(at.localdb, name), { recursive: true });
  }
  const run = await lbs(t, ['--json', ...backupOptions(at), '.'], {
    cwd: at.tree,
    env: clockAhead(2000),
  });
  t.is(run.code, 0, run.stderr);
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  sameTree(t, readTree(at.tree), readTree(at.target));
});
