/** A local database that is lost, made again from the store: what that costs, and what it may not. */
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { lockLocaldb } from '../../src/localdb/lock.ts';
import { gpgHome } from '../helpers/gpg-home.ts';
import { backupOptions, clockAhead, places, type Places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { jsonLines, jsonMessage, lbs, lbsExits, lbsOk, startLbs } from '../helpers/run-lbs.ts';
import { makeFiles, makeSmallTree, waitUntil } from '../helpers/small-tree.ts';
import { addedFiles, segmentFiles, snapshotNames, storeState } from '../helpers/store-state.ts';
import { mountTmpfs } from '../helpers/temp-dir.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

const MIB = 1024 * 1024;
const DATABASE = 'lbs-localdb.sqlite';

const rebuildArgs = (at: Places) => ['rebuild', `--store=${at.store}`, `--localdb=${at.localdb}`];

/** A tree with everything that is stored in its own way. */
function makeTree(tree: string): void {
  makeSmallTree(tree);
  makeFiles(tree, {
    'large/blocks': pseudoRandom('blocks', 5 * MIB),
    'large/zeros': Buffer.alloc(3 * MIB),
    'large/sparse': pseudoRandom('sparse', 70_000),
    'large/pages.sqlite': Buffer.concat([Buffer.from('SQLite format 3\0'), pseudoRandom('p', 99)]),
  });
  truncateSync(join(tree, 'large/sparse'), 4 * MIB);
  linkSync(join(tree, 'large/blocks'), join(tree, 'large/same'));
  symlinkSync('letters/one', join(tree, 'symlink'));
}

function loseAll(at: Places): void {
  for (const name of readdirSync(at.localdb)) rmSync(join(at.localdb, name), { recursive: true });
}

type Added = { readonly content: number; readonly read: number; readonly warnings: number };

/** A backup as if `aheadS` seconds had passed. */
async function backupLater(t: ExecutionContext, at: Places, aheadS: number): Promise<Added> {
  const args = ['--json', ...backupOptions(at), '.'];
  const run = await lbsOk(t, args, { cwd: at.tree, env: clockAhead(aheadS) });
  const summary = jsonMessage(run, 'summary');
  return {
    content: Number(summary['content_added']),
    read: Number(summary['bytes_read']),
    warnings: Number(summary['warnings']),
  };
}

async function isWhole(t: ExecutionContext, at: Places): Promise<void> {
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
  rmSync(at.target, { recursive: true, force: true });
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  sameTree(t, readTree(at.tree), readTree(at.target));
}

test('a lost local database costs one slower run, and nothing is stored again', async (t) => {
  const at = places(t);
  makeTree(at.tree);
  await backupLater(t, at, 1000);
  makeFiles(at.tree, { 'letters/three': 'later', 'large/blocks': pseudoRandom('other', 3 * MIB) });
  await backupLater(t, at, 2000);
  loseAll(at);
  const before = storeState(at.store);
  const summary = jsonMessage(await lbsOk(t, [...rebuildArgs(at), '--json']), 'summary');
  t.deepEqual(storeState(at.store), before, 'the store is only read');
  t.is(summary['snapshots'], 2);
  t.is(summary['segments'], segmentFiles(at.store).length);
  t.is(summary['hashed'], 0);
  t.is(summary['damaged'], 0);
  t.deepEqual((await backupLater(t, at, 3000)).content, 0);
  await isWhole(t, at);
  const again = await backupLater(t, at, 4000);
  t.deepEqual(again, { content: 0, read: 0, warnings: 0 });
  await isWhole(t, at);
});

test('forget, clean and gc take nothing after a rebuild that a snapshot needs', async (t) => {
  const at = places(t);
  // In the past: forget believes no date that is after the arrival of its file.
  const startS = -2_000_000;
  makeTree(at.tree);
  await backupLater(t, at, startS);
  for (let day = 2; day < 6; day++) {
    makeFiles(at.tree, { [`days/${day}`]: pseudoRandom(`${day}`, 90_000) });
    rmSync(join(at.tree, 'days', `${day - 2}`), { force: true });
    await backupLater(t, at, startS + day * 100_000);
  }
  loseAll(at);
  await lbsOk(t, rebuildArgs(at));
  const env = clockAhead(startS + 600_000);
  const where = [`--store=${at.store}`, `--localdb=${at.localdb}`];
  const clean = await lbsOk(t, ['clean', ...where, '--json', '--dry-run'], { env });
  t.is(jsonMessage(clean, 'summary')['segments'], 0, clean.stdout);
  await lbsOk(t, ['forget', ...where, '--keep-last=2'], { env });
  await lbsOk(t, ['clean', ...where], { env });
  await backupLater(t, at, startS + 700_000);
  const gc = await lbsOk(t, ['gc', ...where, '--grace=0h', '--json'], { env });
  t.true(Number(jsonMessage(gc, 'summary')['removed']) > 0, gc.stdout);
  await backupLater(t, at, startS + 1_000_000);
  await isWhole(t, at);
});

test('a stat cache that was not lost is used by the run after a rebuild', async (t) => {
  const at = places(t);
  makeTree(at.tree);
  await backupLater(t, at, 1000);
  rmSync(join(at.localdb, DATABASE));
  await lbsOk(t, rebuildArgs(at));
  t.deepEqual(await backupLater(t, at, 2000), { content: 0, read: 0, warnings: 0 });
  await isWhole(t, at);
});

test('the log of the lost database is not taken for one of the new database', async (t) => {
  const at = places(t);
  makeTree(at.tree);
  await backupLater(t, at, 1000);
  // As a killed run leaves them.
  const script = `
    const db = new (require('better-sqlite3'))(process.argv[1]);
    db.pragma('wal_autocheckpoint = 0');
    db.exec("update segments set sha256 = x'00', stored_bytes = 1; delete from blocks");
    process.kill(process.pid, 'SIGKILL');`;
  const cwd = join(import.meta.dirname, '..', '..');
  spawnSync(process.execPath, ['-e', script, join(at.localdb, DATABASE)], { cwd });
  t.true(existsSync(join(at.localdb, `${DATABASE}-wal`)));
  rmSync(join(at.localdb, DATABASE));
  rmSync(join(at.localdb, 'lbs-statcache'));
  await lbsOk(t, rebuildArgs(at));
  t.is((await backupLater(t, at, 2000)).content, 0);
  await isWhole(t, at);
});

test('there is a database already: nothing is changed', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  await backupLater(t, at, 1000);
  const state = () => [...storeState(at.localdb)].map(([name, { sha256 }]) => [name, sha256]);
  const before = state();
  const run = await lbsExits(t, 2, rebuildArgs(at));
  t.true(run.stderr.includes(`mv ${join(at.localdb, DATABASE)} `), run.stderr);
  t.deepEqual(state(), before);
});

test('a store without snapshots is no place to make a database from', async (t) => {
  const at = places(t);
  await lbsExits(t, 10, rebuildArgs(at));
  t.deepEqual(readdirSync(at.localdb), []);
});

test('a missing or empty segment is named, and what it held is stored again', async (t) => {
  for (const lose of [rmSync, (file: string) => truncateSync(file, 0)]) {
    const at = places(t);
    makeFiles(at.tree, { one: pseudoRandom('1', 300_000) });
    await backupLater(t, at, 1000);
    const [first = ''] = segmentFiles(at.store);
    makeFiles(at.tree, { two: pseudoRandom('2', 300_000) });
    await backupLater(t, at, 2000);
    for (const name of segmentFiles(at.store)) {
      if (readFileSync(join(at.store, name)).length > 200_000 && name >= first) {
        lose(join(at.store, name));
        loseAll(at);
        const run = await lbsExits(t, 4, rebuildArgs(at));
        t.true(run.stderr.includes(name.slice(0, 36)), run.stderr);
        break;
      }
    }
    t.is((await backupLater(t, at, 3000)).content, 300_000);
    await lbsOk(t, ['verify', `--store=${at.store}`, '--data', 'latest']);
  }
});

test('--check leaves out segments that are cut off or not as they were', async (t) => {
  for (const spoil of [
    (bytes: Buffer) => bytes.subarray(0, bytes.length - 100),
    (bytes: Buffer) => Buffer.from(bytes).fill(7, 1000, 1010),
  ]) {
    const at = places(t);
    makeFiles(at.tree, { one: pseudoRandom('1', 300_000) });
    await backupLater(t, at, 1000);
    const large = segmentFiles(at.store)
      .map((name) => join(at.store, name))
      .find((file) => readFileSync(file).length > 200_000);
    writeFileSync(large ?? '', spoil(readFileSync(large ?? '')));
    loseAll(at);
    const run = await lbsExits(t, 4, [...rebuildArgs(at), '--check']);
    t.regex(run.stderr, /not as its checksums say/);
    t.is((await backupLater(t, at, 2000)).content, 300_000);
    await lbsOk(t, ['verify', `--store=${at.store}`, '--data', 'latest']);
  }
});

test('--check of a whole store finds nothing and reads every segment', async (t) => {
  const at = places(t);
  makeTree(at.tree);
  await backupLater(t, at, 1000);
  loseAll(at);
  const run = await lbsOk(t, [...rebuildArgs(at), '--check', '--json']);
  t.is(jsonMessage(run, 'summary')['hashed'], segmentFiles(at.store).length);
});

test('damaged metadata costs what it holds: the rest is in the database', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { one: pseudoRandom('1', 300_000) });
  await backupLater(t, at, 1000);
  const first = new Set(segmentFiles(at.store));
  makeFiles(at.tree, { two: pseudoRandom('2', 200_000) });
  await backupLater(t, at, 2000);
  const metadata = segmentFiles(at.store)
    .filter((name) => !first.has(name))
    .map((name) => join(at.store, name))
    .sort((a, b) => readFileSync(a).length - readFileSync(b).length)[0];
  writeFileSync(metadata ?? '', pseudoRandom('junk', 2000));
  loseAll(at);
  const run = await lbsExits(t, 4, [...rebuildArgs(at), '--json']);
  t.true(jsonLines(run).some((line) => line['message_type'] === 'error'));
  t.is(Number(jsonMessage(run, 'summary')['snapshots']), 2);
  t.is((await backupLater(t, at, 3000)).content, 200_000);
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data', 'latest']);
});

test('a segment that only a forgotten snapshot named is not offered', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { one: pseudoRandom('1', 300_000) });
  await backupLater(t, at, 1000);
  const [name = ''] = snapshotNames(at.store);
  rmSync(join(at.tree, 'one'));
  makeFiles(at.tree, { two: '2' });
  await backupLater(t, at, 2000);
  await lbsOk(t, ['forget', `--store=${at.store}`, `--localdb=${at.localdb}`, name]);
  loseAll(at);
  await lbsOk(t, rebuildArgs(at));
  makeFiles(at.tree, { one: pseudoRandom('1', 300_000) });
  t.is((await backupLater(t, at, 3000)).content, 300_000);
  await isWhole(t, at);
});

test('an interrupted or killed rebuild leaves nothing in place, and the next one works', async (t) => {
  const at = places(t);
  for (let n = 0; n < 40; n++) makeFiles(at.tree, { [`d/${n}`]: pseudoRandom(`${n}`, 20_000) });
  // Reading waits, so that a run can be stopped in the middle.
  const filters = ['--filter=cat', '--filter-extension=.slow'];
  const [held, go] = [join(at.base, 'held'), join(at.base, 'go')];
  const waits = `--unfilter=.slow=touch ${held}; while [ ! -e ${go} ]; do sleep 0.05; done; cat`;
  const args = [...backupOptions(at), ...filters, '--unfilter=.slow=cat', '.'];
  await lbsOk(t, args, { cwd: at.tree, env: clockAhead(1000) });
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGKILL', null],
  ] as const) {
    loseAll(at);
    for (const file of [held, go]) rmSync(file, { force: true });
    const running = startLbs(t, [...rebuildArgs(at), waits]);
    await waitUntil(() => existsSync(held), 'the reverse filter');
    running.child.kill(signal);
    if (code !== null) await waitUntil(() => running.said().stderr !== '', 'the answer');
    writeFileSync(go, '');
    t.is((await running.done).code, code);
    t.false(existsSync(join(at.localdb, DATABASE)));
    if (code !== null) {
      const left = readdirSync(at.localdb).filter((name) => name.includes('rebuild'));
      t.deepEqual(left, []);
    }
  }
  await lbsOk(t, [...rebuildArgs(at), '--unfilter=.slow=cat']);
  const names = readdirSync(at.localdb).filter((name) => name.includes('rebuild'));
  t.deepEqual(names, []);
  const again = await lbsOk(t, ['--json', ...args], { cwd: at.tree, env: clockAhead(2000) });
  t.is(jsonMessage(again, 'summary')['content_added'], 0);
});

test('without room for the database none is made, and with room the same command works', async (t) => {
  const at = places(t);
  const content = (n: number) => pseudoRandom(`${n}`, 300);
  for (let n = 0; n < 2000; n++) makeFiles(at.tree, { [`d/${n}`]: content(n) });
  const own = { ...at, localdb: join(at.base, 'small') };
  mkdirSync(own.localdb);
  await backupLater(t, at, 1000);
  for (const kib of [16, 64, 128, 200, 280, 400, 600]) {
    if (!mountTmpfs(own.localdb, kib * 1024)) return t.pass('no mounts here');
    const run = await lbs(t, rebuildArgs(own));
    const names = readdirSync(own.localdb).filter((name) => !name.endsWith('.lock'));
    if (run.code === 0) t.true(names.includes(DATABASE));
    else {
      t.is(run.code, 1, run.stderr);
      t.regex(run.stderr, /no space|cannot (make|open|write) the local database/i);
      t.false(names.includes(DATABASE), `${kib} KiB`);
    }
    spawnSync('umount', [own.localdb]);
  }
  await lbsOk(t, rebuildArgs(own));
  t.is((await backupLater(t, own, 2000)).content, 0);
});

test('a directory that is in use, or cannot be written to, is left as it is', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  await backupLater(t, at, 1000);
  loseAll(at);
  const lock = lockLocaldb(at.localdb);
  const busy = await lbsExits(t, 11, rebuildArgs(at));
  lock.release();
  t.true(busy.stderr.includes(String(process.pid)), busy.stderr);
  makeFiles(at.tree, { other: 'other' });
  const notThere = join(at.tree, 'other', 'db');
  const run = await lbsExits(t, 1, ['rebuild', `--store=${at.store}`, `--localdb=${notThere}`]);
  t.regex(run.stderr, /--localdb=DIR/);
});

test('with a verify key only signed snapshots are believed', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  await backupLater(t, at, 1000);
  loseAll(at);
  const key = join(import.meta.dirname, '..', 'fixtures/stores/gpg-signed/keys/public.asc');
  await lbsExits(t, 12, [...rebuildArgs(at), `--verify-key=${key}`]);
  t.false(existsSync(join(at.localdb, DATABASE)));
});

test('snapshots without a good signature are left out, and what only they have is stored again', async (t) => {
  const key = gpgHome(t);
  const at = places(t);
  makeSmallTree(at.tree);
  const signed = [...backupOptions(at), `--sign-key=${key.secretKey}`, '.'];
  await lbsOk(t, signed, { cwd: at.tree, env: clockAhead(1000) });
  const forged = pseudoRandom('forged', 123_456);
  makeFiles(at.tree, { forged });
  t.is((await backupLater(t, at, 2000)).content, forged.length);
  const [, unsigned = ''] = snapshotNames(at.store);
  loseAll(at);
  // Of a run that was killed, with segments that nobody knows any more.
  const left = ['new', 'left'].map((ending) => join(at.localdb, `lbs-statcache.${ending}`));
  for (const file of left) writeFileSync(file, 'left');
  const verifyKey = `--verify-key=${key.publicKey}`;
  const run = await lbsExits(t, 3, [...rebuildArgs(at), '-q', verifyKey]);
  t.regex(run.stderr, new RegExp(`${unsigned}: is not believed, and left out: .*not signed`));
  t.deepEqual(left.filter(existsSync), []);
  t.is((await backupLater(t, at, 3000)).content, forged.length);
  await lbsOk(t, signed, { cwd: at.tree, env: clockAhead(4000) });
  loseAll(at);
  const json = await lbsExits(t, 3, [...rebuildArgs(at), '--json', verifyKey]);
  t.is(jsonMessage(json, 'summary')['unsigned'], 2);
}); // prettier-ignore

test('a backup that finds no local database names lbs rebuild', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  await backupLater(t, at, 1000);
  loseAll(at);
  const run = await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  t.true(run.stderr.includes(`lbs ${rebuildArgs(at).join(' ')}`), run.stderr);
});

test('rebuild of a copy of the store: files may have other dates and another place', async (t) => {
  const at = places(t);
  makeTree(at.tree);
  await backupLater(t, at, 1000);
  const copy = { ...at, store: join(at.base, 'copy'), localdb: join(at.base, 'other') };
  cpSync(at.store, copy.store, { recursive: true });
  mkdirSync(copy.localdb);
  await lbsOk(t, rebuildArgs(copy));
  const before = storeState(copy.store);
  t.is((await backupLater(t, copy, 2000)).content, 0);
  t.true(addedFiles(before, storeState(copy.store)).length > 0);
  await isWhole(t, copy);
});
