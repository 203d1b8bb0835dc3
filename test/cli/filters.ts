/** Filters that people use: what they leave in a store, and that other tools can read it. */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { gpgHome } from '../helpers/gpg-home.ts';
import { backupOptions, places, type Places, restored } from '../helpers/places.ts';
import { lbs, lbsExits, lbsOk, restoreOk } from '../helpers/run-lbs.ts';
import { memberNames } from '../helpers/segment-objects.ts';
import { makeSmallTree } from '../helpers/small-tree.ts';
import { filesEndingIn, segmentFiles, snapshotNames } from '../helpers/store-state.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

type Use = {
  readonly options: readonly string[];
  readonly extension: string;
  readonly reverse: string;
  readonly env?: Record<string, string>;
};

/** Runs `sha1sum -c` or `sha256sum -c` in the store on each checksums file. */
function checksumsPass(t: ExecutionContext, at: Places): void {
  for (const algorithm of ['sha1', 'sha256']) {
    const files = filesEndingIn(at.store, `.${algorithm}sums`);
    t.is(files.length, snapshotNames(at.store).length);
    for (const file of files) {
      const { status, stdout, stderr } = spawnSync(`${algorithm}sum`, ['-c', file], {
        cwd: at.store,
      });
      t.is(status, 0, `${algorithm}sum -c ${file}: ${String(stdout)}${String(stderr)}`);
    }
  }
}

/** Backs up twice, reads the store with other tools, and restores. */
async function roundTrip(t: ExecutionContext, use: Use): Promise<void> {
  const at = places(t);
  makeSmallTree(at.tree);
  const env = use.env ?? {};
  await lbsOk(t, [...backupOptions(at), ...use.options, at.tree], { env });
  makeSmallTree(join(at.tree, 'more'));
  await lbsOk(t, [...backupOptions(at), ...use.options, at.tree], { env });
  const segments = segmentFiles(at.store);
  t.true(segments.length >= 2);
  for (const file of segments) {
    t.is(file.slice(36), `.tar${use.extension}`);
    const names = memberNames(join(at.store, file), use.reverse, env);
    const wanted = names.map((_, at) => `${file.slice(0, 36)}/${at.toString(16).padStart(8, '0')}`);
    t.deepEqual(names, wanted);
    t.true(names.length > 0);
  }
  checksumsPass(t, at);
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data'], { env });
  await restoreOk(t, [`--store=${at.store}`, 'latest', at.target], { env });
  sameTree(t, readTree(at.tree), readTree(restored(at.target, at.tree)));
}

for (const [filter, extension, reverse] of [
  ['zstd -c', '.zst', 'zstd -dc'],
  ['zstd -c -19', '.zst', 'zstd -dc'],
  ['bzip2 -c', '.bz2', 'bzip2 -dc'],
  ['gzip -c', '.gz', 'gzip -dc'],
  ['cat', '', 'cat'],
  // Not plainly the program, so that the runtime's codec may not stand in for it.
  ['nice zstd -c', '.zst', 'zstd -dc'],
  ['exec gzip -c', '.gz', 'gzip -dc'],
] as const) {
  test(`the filter "${filter}" leaves a store that sums, tar and lbs can read`, async (t) => {
    const isPlain = !/^(nice|exec) /.test(filter);
    const options = [`--filter=${filter}`, ...(isPlain ? [] : [`--filter-extension=${extension}`])];
    await roundTrip(t, { options, extension, reverse });
  });
}

test('without a filter option segments are compressed with zstd', async (t) => {
  await roundTrip(t, { options: [], extension: '.zst', reverse: 'zstd -dc' });
});

test('the classic options give the classic store', async (t) => {
  const options = ['--filter=bzip2 -c', '--filter-extension=.bz2', '--scheme=classic'];
  await roundTrip(t, { options, extension: '.bz2', reverse: 'bzip2 -dc' });
});

test("an extension of one's own works with the command that reads it", async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  const unfilter = '--unfilter=.rot=tr a-zA-Z n-za-mN-ZA-M';
  const filter = ['--filter=tr a-zA-Z n-za-mN-ZA-M', '--filter-extension=.rot'];
  await lbsOk(t, [...backupOptions(at), ...filter, unfilter, at.tree]);
  t.true(segmentFiles(at.store).every((file) => file.endsWith('.tar.rot')));
  const without = await lbs(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  t.not(without.code, 0);
  t.true(without.stderr.includes('.rot') && without.stderr.includes('--unfilter'), without.stderr);
  await restoreOk(t, [`--store=${at.store}`, unfilter, 'latest', at.target]);
  sameTree(t, readTree(at.tree), readTree(restored(at.target, at.tree)));
});

test('segments encrypted with gpg come back, and only with the key', async (t) => {
  const key = gpgHome(t);
  const filter = `gpg --batch --trust-model always --encrypt -r ${key.user}`;
  await roundTrip(t, {
    options: [`--filter=${filter}`],
    extension: '.gpg',
    reverse: 'gpg --batch --quiet --decrypt',
    env: { ...key.env },
  });
});

test('a machine that can only encrypt makes backups, and cannot read them', async (t) => {
  const key = gpgHome(t);
  const at = places(t);
  makeSmallTree(at.tree);
  const onlyPublic = join(at.base, 'p');
  mkdirSync(onlyPublic, { mode: 0o700 });
  const env = { GNUPGHOME: onlyPublic };
  t.teardown(() =>
    spawnSync('gpgconf', ['--kill', 'all'], { env: { PATH: process.env['PATH'], ...env } }),
  );
  const imported = spawnSync('gpg', ['--batch', '--import', key.publicKey], {
    env: { PATH: process.env['PATH'], ...env },
  });
  t.is(imported.status, 0, String(imported.stderr));
  const filter = `--filter=gpg --batch --trust-model always --encrypt -r ${key.user}`;
  const run = await lbsOk(t, [...backupOptions(at), filter, at.tree], { env });
  t.regex(run.stderr, /secret key/);
  for (const reading of [
    ['restore', 'latest', at.target],
    ['verify', '--objects'],
    ['ls', 'latest'],
  ]) {
    const failed = await lbsExits(t, 12, [...reading, `--store=${at.store}`], { env });
    t.regex(failed.stderr, /secret key/);
    t.regex(failed.stderr, /nothing is damaged/);
  }
  await lbsOk(t, ['verify', `--store=${at.store}`], { env });
  await restoreOk(t, [`--store=${at.store}`, 'latest', at.target], { env: { ...key.env } });
  sameTree(t, readTree(at.tree), readTree(restored(at.target, at.tree)));
});

for (const [filter, extension] of [
  ['gzip -c', '.bz2'],
  ['zstd -c', '.gz'],
  ['zstd -c', ''],
  ['cat', '.zst'],
] as const) {
  test(`the filter "${filter}" with the extension "${extension}" is refused`, async (t) => {
    const at = places(t);
    makeSmallTree(at.tree);
    const options = [`--filter=${filter}`, `--filter-extension=${extension}`];
    const run = await lbs(t, [...backupOptions(at), ...options, at.tree]);
    t.true(run.code === 1 || run.code === 2, `${run.code} ${run.stderr}`);
    t.true(run.stderr.includes(filter) && run.stderr.includes('--filter-extension'), run.stderr);
    t.deepEqual(snapshotNames(at.store), []);
  });
}

test('one store may hold segments of several filters', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  for (const [count, filter] of ['cat', 'gzip -c', 'bzip2 -c', 'zstd -c'].entries()) {
    makeSmallTree(join(at.tree, `more-${count}`));
    await lbsOk(t, [...backupOptions(at), `--filter=${filter}`, '--full-metadata', at.tree]);
  }
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
  await restoreOk(t, [`--store=${at.store}`, 'latest', at.target]);
  sameTree(t, readTree(at.tree), readTree(restored(at.target, at.tree)));
  checksumsPass(t, at);
});
