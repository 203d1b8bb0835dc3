/** Snapshots that were removed, replaced, renamed or rolled back, and those that were forgotten. */
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { sealed } from '../../src/format/descriptor-seal.ts';
import { parseDescriptor } from '../../src/format/descriptor.ts';
import { gpg, gpgHome } from '../helpers/gpg-home.ts';
import { sha256 } from '../helpers/hand-made-store.ts';
import { backupOptions, places, type Places } from '../helpers/places.ts';
import { jsonLines, lbsExits, lbsOk } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { filesEndingIn, snapshotNames, storeState } from '../helpers/store-state.ts';

type Series = Places & { readonly names: readonly string[] };

/** One second after the other, so that names are known. */
async function save(t: ExecutionContext, at: Places, ...options: string[]): Promise<string> {
  makeFiles(at.tree, { [`file-${snapshotNames(at.store).length}`]: 'text' });
  await lbsOk(t, [...backupOptions(at), ...options, at.tree]);
  return snapshotNames(at.store).at(-1) ?? '';
}

async function series(t: ExecutionContext, count: number, ...options: string[]): Promise<Series> {
  const at = places(t);
  const names: string[] = [];
  for (let n = 0; n < count; n++) names.push(await save(t, at, ...options));
  return { ...at, names };
}

const descriptor = (at: Places, name: string) => join(at.store, `snapshot-${name}.lbs`);
const noteFiles = (at: Places) => filesEndingIn(at.store, '.note');
const verifyOptions = (at: Places) => [`--store=${at.store}`, `--localdb=${at.localdb}`];

/** Names of snapshots that verify calls gone or replaced, sorted. */
async function missed(
  t: ExecutionContext,
  at: Places,
  code: number,
  options = verifyOptions(at),
): Promise<readonly unknown[]> {
  const run = await lbsExits(t, code, ['verify', '--json', ...options]);
  const found = jsonLines(run).filter((line) => line['damaged'] === 'history');
  return found.map((line) => line['snapshot_id']).sort();
}

test('a descriptor names its predecessor, and what was forgotten is missed by nobody', async (t) => {
  const at = await series(t, 3);
  const [first = '', second = '', third = ''] = at.names;
  const read = (name: string) => parseDescriptor(readFileSync(descriptor(at, name), 'latin1'));
  t.deepEqual([read(first).name, read(first).previous], [first, undefined]);
  const sums = sha256(readFileSync(descriptor(at, second)));
  t.deepEqual(read(third).previous, { name: second, sha256: sums });
  // Of another machine, whose database has never seen this store.
  await lbsOk(t, ['forget', `--store=${at.store}`, second]);
  const [note = ''] = noteFiles(at);
  t.true(readFileSync(join(at.store, note), 'utf8').includes(`    ${second} ${sums}\n`));
  t.deepEqual(await missed(t, at, 0), []);
  const quiet = await lbsOk(t, ['verify', ...verifyOptions(at)]);
  t.is(quiet.stderr, '');
  await lbsOk(t, ['prune', ...verifyOptions(at), '--grace=0h', '--keep-last=2']);
  await lbsOk(t, ['gc', ...verifyOptions(at), '--grace=0h']);
  t.deepEqual(noteFiles(at), [note]);
  const again = await lbsOk(t, [...backupOptions(at), at.tree]);
  t.is(again.stderr, '');
  t.false(readFileSync(join(at.localdb, 'lbs-seen'), 'utf8').includes(second));
  // It is put back, as a copy may do.
  await lbsOk(t, ['verify', ...verifyOptions(at)]);
});

test('a snapshot that was removed is named by verify and by the next backup, which is made', async (t) => {
  const at = await series(t, 3);
  const [, second = '', third = ''] = at.names;
  const kept = join(at.base, 'kept');
  renameSync(descriptor(at, second), kept);
  t.deepEqual(await missed(t, at, 12), [second]);
  const elsewhere = await lbsOk(t, ['verify', `--store=${at.store}`]);
  t.regex(elsewhere.stderr, new RegExp(`lacks ${second}.*right for a copy`));
  const dry = await lbsExits(t, 3, [...backupOptions(at), '-n', at.tree]);
  t.regex(dry.stderr, /tampered with/);
  const run = await lbsExits(t, 3, [...backupOptions(at), '-q', at.tree]);
  t.regex(run.stderr, new RegExp(`tampered with: snapshot-${second}\\.lbs: gone`));
  t.is(snapshotNames(at.store).length, 3);
  // Again each time, until it is back.
  await lbsExits(t, 3, [...backupOptions(at), '-q', at.tree]);
  renameSync(kept, descriptor(at, second));
  await lbsOk(t, [...backupOptions(at), at.tree]);
  t.deepEqual(await missed(t, at, 0), []);
  rmSync(descriptor(at, third));
  const known = join(at.localdb, 'lbs-seen');
  t.true((await lbsExits(t, 12, ['verify', ...verifyOptions(at)])).stderr.includes(`rm ${known}`));
  rmSync(known);
  t.deepEqual(await missed(t, at, 0), []);
});

test('a store that was rolled back is told of, whatever was in it before', async (t) => {
  const at = await series(t, 1);
  const [first = ''] = at.names;
  const old = join(at.base, 'old');
  cpSync(at.store, old, { recursive: true });
  const second = await save(t, at);
  const third = await save(t, at);
  rmSync(at.store, { recursive: true });
  renameSync(old, at.store);
  t.deepEqual(await missed(t, at, 12), [second, third]);
  const run = await lbsExits(t, 3, [...backupOptions(at), at.tree]);
  t.regex(run.stderr, /rolled back/);
  // The new one sorts behind what was there, as far as the clock is right.
  t.true((snapshotNames(at.store).at(-1) ?? '') > first);
});

test('a snapshot that was replaced, or put under another name, is named', async (t) => {
  const at = await series(t, 3);
  const [first = '', second = '', third = ''] = at.names;
  const original = readFileSync(descriptor(at, second), 'utf8');
  writeFileSync(descriptor(at, second), sealed(original.replace(/^Host: .*$/m, 'Host: elsewhere')));
  t.deepEqual(await missed(t, at, 12, [`--store=${at.store}`]), [second]);
  t.deepEqual(await missed(t, at, 12), [second]);
  // One that is merely damaged is no work of anybody.
  writeFileSync(descriptor(at, second), original.replace(/^Host: /m, 'Hosu: '));
  t.deepEqual(await missed(t, at, 4), []);
  writeFileSync(descriptor(at, second), original);
  // The newest has no successor: only who has seen it knows.
  const newest = readFileSync(descriptor(at, third), 'utf8');
  writeFileSync(descriptor(at, third), sealed(newest.replace(/^Host: .*$/m, 'Host: elsewhere')));
  t.deepEqual(await missed(t, at, 0, [`--store=${at.store}`]), []);
  t.deepEqual(await missed(t, at, 12), [third]);
  await lbsExits(t, 3, [...backupOptions(at), at.tree]);
  writeFileSync(descriptor(at, third), newest);
  const fourth = snapshotNames(at.store).at(-1) ?? '';
  rmSync(descriptor(at, fourth));
  rmSync(join(at.localdb, 'lbs-seen'));
  // An old one is replayed as the newest.
  copyFileSync(descriptor(at, first), descriptor(at, fourth));
  t.deepEqual(await missed(t, at, 12), [fourth]);
  const links = newest
    .replace(/^Name: .*\n/m, '')
    .replace(/^Previous: .*$/m, `Previous: ${fourth}`);
  rmSync(descriptor(at, fourth));
  writeFileSync(descriptor(at, third), sealed(links));
  t.deepEqual(await missed(t, at, 12), [third]);
  // Compacting can give it the name that its predecessor had.
  const moved = newest
    .replace(/^Previous: .*$/m, `Previous: ${third}`)
    .replace(/^Segments:$/m, `Compacted_from: ${fourth}\nSegments:`);
  writeFileSync(descriptor(at, third), sealed(moved));
  t.deepEqual(await missed(t, at, 0), []);
});

test('with a key a note counts only with a good signature, and forget signs it', async (t) => {
  const [key, janitor] = [gpgHome(t), gpgHome(t)];
  const at = await series(t, 4, `--sign-key=${key.secretKey}`);
  const [first = '', second = '', third = ''] = at.names;
  const keys = join(at.base, 'keys');
  writeFileSync(
    keys,
    readFileSync(key.publicKey, 'utf8') + readFileSync(janitor.publicKey, 'utf8'),
  );
  const checked = [...verifyOptions(at), `--verify-key=${keys}`];
  const forget = ['forget', `--store=${at.store}`, `--verify-key=${keys}`];
  await lbsOk(t, [...forget, `--sign-key=${janitor.secretKey}`, first]);
  const [signed = ''] = noteFiles(at);
  t.is(gpg(janitor, ['--verify', join(at.store, signed)]).code, 0);
  t.deepEqual(await missed(t, at, 0, checked), []);
  await lbsOk(t, [...forget, `--signature-filter=gpg --batch --clearsign`, second], {
    env: { ...janitor.env },
  });
  t.deepEqual(await missed(t, at, 0, checked), []);
  const unsigned = await lbsOk(t, [...forget, third]);
  t.regex(unsigned.stderr, /note of it is not signed/);
  t.deepEqual(await missed(t, at, 12, checked), [third]);
  t.deepEqual(await missed(t, at, 0), []);
  const save4 = [...backupOptions(at), `--sign-key=${key.secretKey}`, at.tree];
  const run = await lbsExits(t, 3, [...save4, `--verify-key=${keys}`]);
  t.regex(run.stderr, new RegExp(`forgotten-.*not believed[^]*tampered with: snapshot-${third}`));
  await lbsOk(t, save4);
  // A key that cannot sign is found out before anything goes.
  const before = storeState(at.store);
  await lbsExits(t, 12, [
    'forget',
    `--store=${at.store}`,
    `--sign-key=${key.publicKey}`,
    'latest~1',
  ]);
  t.deepEqual(storeState(at.store), before);
});

test('many notes become one, and nothing is signed that was not, nor the other way round', async (t) => {
  const key = gpgHome(t);
  const at = await series(t, 4, `--sign-key=${key.secretKey}`);
  const [first = '', second = ''] = at.names;
  const forget = ['forget', `--store=${at.store}`];
  await lbsOk(t, [...forget, `--sign-key=${key.secretKey}`, first]);
  const [signed = ''] = noteFiles(at);
  const own = readFileSync(join(at.store, signed), 'latin1');
  const note = (n: number) => `forgotten-00000000-0000-4000-8000-0000000000${n + 10}.note`;
  const text = (name: string) => `Format: LBS Forgotten v1\nForgotten:\n    ${name} -\n`;
  for (let n = 0; n < 20; n++)
    writeFileSync(join(at.store, note(n)), text(`x-2001010${n % 10}T000000`));
  writeFileSync(join(at.store, note(30)), 'no note\n');
  await lbsOk(t, [...forget, `--sign-key=${key.secretKey}`, second]);
  t.is(noteFiles(at).length, 22);
  const others = new Set(Array.from({ length: 31 }, (_, n) => note(n)));
  const merged = noteFiles(at).find((name) => !others.has(name)) ?? '';
  const now = readFileSync(join(at.store, merged), 'latin1');
  t.true(now.includes(first) && now.includes(second));
  t.false(now.includes('x-2001'));
  t.not(now, own);
  await save(t, at);
  await lbsOk(t, [...forget, 'latest~1']);
  t.is(noteFiles(at).length, 3);
  const plain = noteFiles(at).find((name) => name !== merged && name !== note(30)) ?? '';
  const all = readFileSync(join(at.store, plain), 'latin1');
  for (let n = 0; n < 10; n++) t.true(all.includes(`x-2001010${n}T000000 -\n`));
  t.false(all.includes(first));
});

test('copies have histories of their own, and old snapshots have none', async (t) => {
  const at = await series(t, 3);
  const [first = '', , third = ''] = at.names;
  await lbsOk(t, ['forget', ...verifyOptions(at), first]);
  const [part, whole] = [join(at.base, 'part'), join(at.base, 'whole')];
  mkdirSync(part);
  await lbsOk(t, ['sync', at.store, part, third]);
  t.deepEqual(filesEndingIn(part, '.note'), []);
  spawnSync('cp', ['-a', at.store, whole]);
  for (const store of [part, whole]) {
    await lbsOk(t, ['verify', `--store=${store}`, `--localdb=${at.localdb}`]);
  }
  const names = await lbsOk(t, ['verify', `--store=${part}`, third]);
  t.is(names.stderr, '', 'nothing is said of others when one is named');
  // By a release that knew nothing of this.
  for (const name of at.names.slice(1)) {
    const text = readFileSync(descriptor(at, name), 'utf8');
    writeFileSync(
      descriptor(at, name),
      text.replaceAll(/^(?:Name|Previous|Previous_sha256|Descriptor_sha256): .*\n/gm, ''),
    );
  }
  rmSync(join(at.localdb, 'lbs-seen'));
  const old = await lbsOk(t, ['verify', ...verifyOptions(at)]);
  t.is(old.stderr, '');
  await save(t, at);
  t.deepEqual(await missed(t, at, 0), []);
  // Two machines, one scheme: each names what is newest in the store.
  const other = { ...at, localdb: join(at.base, 'other') };
  const theirs = await save(t, other);
  const ours = await save(t, at);
  t.is(parseDescriptor(readFileSync(descriptor(at, ours), 'latin1')).previous?.name, theirs);
  t.deepEqual(await missed(t, other, 0), []);
  // What is damaged of the memory is told of once.
  writeFileSync(join(at.localdb, 'lbs-seen'), 'nonsense');
  await lbsExits(t, 1, ['verify', ...verifyOptions(at)]);
  await lbsExits(t, 3, [...backupOptions(at), at.tree]);
  await lbsOk(t, [...backupOptions(at), at.tree]);
  t.true(existsSync(join(at.localdb, 'lbs-seen')));
});
