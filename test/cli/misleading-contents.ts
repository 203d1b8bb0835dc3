/** Files whose contents or names are made to mislead the program that stores them. */
import { readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { zstdDecompressSync } from 'node:zlib';
import { sha1, sha256 } from '../helpers/hand-made-store.ts';
import { backupOptions, places, restored } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { lbsOk, restoreOk } from '../helpers/run-lbs.ts';
import { collidingContents } from '../helpers/sha1-collision.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { filesEndingIn, segmentFiles, snapshotNames } from '../helpers/store-state.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

test('two files with one SHA-1 come back as two files', async (t) => {
  const at = places(t);
  const [one, other] = collidingContents();
  const rest = pseudoRandom('the same behind both', 3_000_000);
  const [longOne, longOther] = collidingContents(rest);
  for (const [a, b] of [
    [one, other],
    [longOne, longOther],
  ] as const) {
    t.is(sha1(a), sha1(b));
    t.not(sha256(a), sha256(b));
  }
  makeFiles(at.tree, { 'a/one': one, 'a/other': other, 'b/one': longOne, 'b/other': longOther });
  await lbsOk(t, [...backupOptions(at), at.tree]);
  const check = async (snapshot: string) => {
    const target = join(at.base, `target-${snapshot}`);
    await restoreOk(t, [`--store=${at.store}`, snapshot, target]);
    return readTree(restored(target, at.tree));
  };
  const before = readTree(at.tree);
  sameTree(t, before, await check('latest'));
  // Each takes the place of the other, with a database that was made again from the store.
  rmSync(at.localdb, { recursive: true });
  await lbsOk(t, ['rebuild', `--store=${at.store}`, `--localdb=${at.localdb}`]);
  for (const place of ['a', 'b']) {
    const path = (name: string) => join(at.tree, place, name);
    renameSync(path('one'), path('was-one'));
    renameSync(path('other'), path('one'));
    renameSync(path('was-one'), path('other'));
  }
  const stored = segmentFiles(at.store).length;
  await lbsOk(t, [...backupOptions(at), at.tree]);
  t.true(segmentFiles(at.store).length <= stored + 1, 'content was stored again');
  sameTree(t, readTree(at.tree), await check('latest'));
  sameTree(t, before, await check('latest~1'));
  const [first = '', second = ''] = snapshotNames(at.store);
  const diff = await lbsOk(t, ['diff', `--store=${at.store}`, first, second]);
  for (const name of ['a/one', 'a/other', 'b/one', 'b/other'])
    t.regex(diff.stdout, new RegExp(name));
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
});

test('contents and names that look like descriptors, stanzas or notes change nothing', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { plain: 'plain' });
  await lbsOk(t, [...backupOptions(at), at.tree]);
  // The very text of the metadata, byte for byte, and the other files of the store.
  const metadata = segmentFiles(at.store)
    .map((file) => zstdDecompressSync(readFileSync(join(at.store, file))))
    .find((tar) => tar.includes('name: '));
  const start = metadata?.indexOf('name: ') ?? -1;
  const stanzas = metadata?.subarray(start, metadata.indexOf(0, start)) ?? Buffer.alloc(0);
  t.true(stanzas.includes('type: f'));
  const [descriptor = ''] = filesEndingIn(at.store, '.lbs');
  const evil = 'name: ../evil\ntype: f\nsize: 4\ndata: zero[4]\n\n';
  const uuid = segmentFiles(at.store)[0]?.slice(0, 36) ?? '';
  makeFiles(at.tree, {
    stanzas,
    evil,
    include: `@${uuid}/00000000\n`,
    tail: `\n\n${evil}`,
    [descriptor]: readFileSync(join(at.store, descriptor)),
    'snapshot-29990101T000000.lbs': `Format: LBS Snapshot v0.6\nRoot: ${uuid}/00000000\n`,
    [`forgotten-${uuid}.note`]: `Format: LBS Forgotten v1\nForgotten:\n    ${descriptor.slice(9, -4)} -\n`,
    [`gc-${uuid}.removing`]: `${uuid}.tar.zst\n`,
    [`${uuid}.tar.zst`]: 'no segment\n',
    'new\nname: evil\ntype: f\n\n': 'name',
    'x\n\n@evil/00000000\n': 'include',
    '-----BEGIN PGP SIGNED MESSAGE-----': '-----BEGIN PGP SIGNED MESSAGE-----\n\nRoot: x\n',
  });
  await lbsOk(t, [...backupOptions(at), at.tree]);
  t.is(snapshotNames(at.store).length, 2);
  await restoreOk(t, [`--store=${at.store}`, 'latest', at.target]);
  sameTree(t, readTree(at.tree), readTree(restored(at.target, at.tree)));
  const ls = await lbsOk(t, ['ls', '-R', `--store=${at.store}`, 'latest']);
  t.false(ls.stdout.split('\n').some((line) => /^(?:\.\.\/)?evil$/.test(line)));
  await lbsOk(t, ['verify', `--store=${at.store}`, `--localdb=${at.localdb}`, '--data']);
});
