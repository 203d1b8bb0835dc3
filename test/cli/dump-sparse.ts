/** `dump --sparse`: holes stay holes where programs know the form, and say so where they do not; one test at a time. */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import '../helpers/on-disk.ts';
import { makeHardTree } from '../helpers/hard-tree.ts';
import { backupOptions, places, type Places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { lbsOk, restoreOk } from '../helpers/run-lbs.ts';
import { SNAPSHOT, StanzaStore } from '../helpers/stanza-store.ts';
import { lbsToFile } from '../helpers/to-file.ts';
import { readTree, treeDifferences } from '../helpers/tree-state.ts';

const MIB = 1024 * 1024;
const HUGE_BYTES = 3 * 1024 * MIB;
const ENV = { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8' };
/** `$0` is the archive, `$1` the directory. */
const PROGRAMS: Readonly<Record<string, string>> = {
  'GNU tar': 'tar --xattrs --xattrs-include=* -xpf "$0" -C "$1"',
  bsdtar: 'bsdtar -xpf "$0" -C "$1"',
  'busybox tar': 'busybox tar -xpf "$0" -C "$1"',
};

/** Extracts an archive into a new directory. */
function extract(t: ExecutionContext, program: string, archive: string, into: string): void {
  mkdirSync(into);
  const args = ['-fc', PROGRAMS[program] ?? '', archive, into];
  const run = spawnSync('/bin/sh', args, { encoding: 'utf8', env: ENV });
  t.is(run.status, 0, `${program}: ${run.stderr}`);
}

/** A file of 3 GiB with three bytes in the middle, one that ends in data, and a plain one. */
async function sparseStore(t: ExecutionContext): Promise<Places> {
  const at = places(t);
  const huge = openSync(join(at.tree, 'huge'), 'w');
  ftruncateSync(huge, HUGE_BYTES);
  writeSync(huge, 'abc', HUGE_BYTES / 2 + 4096);
  closeSync(huge);
  const ends = openSync(join(at.tree, 'ends in data'), 'w');
  writeSync(ends, pseudoRandom('end', 100_000), 0, 100_000, 2 * MIB);
  closeSync(ends);
  writeFileSync(join(at.tree, 'plain'), 'no holes');
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  return at;
}

for (const program of ['GNU tar', 'bsdtar']) {
  test.serial(`${program} makes the holes again that restore makes`, async (t) => {
    const at = places(t);
    makeHardTree(at.tree);
    const paths = ['sparse', 'links', 'names'];
    await lbsOk(t, [...backupOptions(at), ...paths], { cwd: at.tree });
    const store = `--store=${at.store}`;
    const { file, bytes } = await lbsToFile(t, 0, ['dump', store, '--sparse', 'latest', ...paths]);
    const plain = await lbsToFile(t, 0, ['dump', store, 'latest', ...paths]);
    t.true(plain.bytes.length - bytes.length > 10 * MIB, `${plain.bytes.length} ${bytes.length}`);
    await restoreOk(t, [store, 'latest', at.target, ...paths]);
    const into = join(at.base, 'extracted');
    extract(t, program, file, into);
    const [wanted, found] = [readTree(at.target), readTree(into)];
    const compared = treeDifferences(wanted, found).filter(
      // bsdtar does not put back the time of the top, nor some attributes (dump.ts).
      ({ path, field }) => program === 'GNU tar' || (path !== '.' && field !== 'xattrs'),
    );
    t.deepEqual(
      compared.map(({ text }) => text),
      [],
    );
    t.true([...found.values()].filter(({ holes }) => (holes ?? '') !== '').length > 8);
  });
}

test.serial('a file of 3 GiB with little in it makes an archive of some KiB', async (t) => {
  const at = await sparseStore(t);
  const args = ['dump', `--store=${at.store}`, '--sparse', 'latest'];
  const { file, bytes } = await lbsToFile(t, 0, args);
  t.true(bytes.length < 200_000, String(bytes.length));
  for (const program of ['GNU tar', 'bsdtar']) {
    const into = join(at.base, program);
    extract(t, program, file, into);
    const differences = treeDifferences(readTree(at.tree), readTree(into));
    t.deepEqual(
      differences.filter(({ path }) => path !== '.').map(({ text }) => text),
      [],
      program,
    );
  }
  // It does not know the form, so what it makes has another name and begins with the map.
  const into = join(at.base, 'busybox');
  extract(t, 'busybox tar', file, into);
  t.deepEqual([...readTree(into).keys()].sort(), [
    '.',
    'GNUSparseFile.0',
    'GNUSparseFile.0/ends in data',
    'GNUSparseFile.0/huge',
    'plain',
  ]);
  t.regex(readFileSync(join(into, 'GNUSparseFile.0/huge'), 'latin1'), /^\d+\n\d+\n/);
});

test.serial(
  'a file with holes whose name is not UTF-8 is written with zeros, under its name',
  async (t) => {
    const at = places(t);
    const name = Buffer.concat([Buffer.from(`${at.tree}/`), Buffer.from([0xff, 0xfe])]);
    const fd = openSync(name, 'w');
    ftruncateSync(fd, 3 * MIB);
    writeSync(fd, 'x', MIB);
    closeSync(fd);
    await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
    const args = ['dump', `--store=${at.store}`, '--sparse', 'latest'];
    const { file } = await lbsToFile(t, 0, args);
    for (const program of Object.keys(PROGRAMS)) {
      const into = join(at.base, program);
      extract(t, program, file, into);
      const entry = readTree(into).get('\xff\xfe');
      t.deepEqual(entry?.content, readTree(at.tree).get('\xff\xfe')?.content, program);
    }
  },
);

test.serial(
  'a file with holes that is damaged in the middle has zeros from there, and its size',
  async (t) => {
    const at = places(t);
    const made = new StanzaStore();
    const [first, second] = [pseudoRandom('first', 4096), pseudoRandom('second', 8192)];
    made.add('.', 'd');
    made.file('victim', [first, 4096, second], { holes: '4096+4096' });
    made.file('fine', [4096, Buffer.from('well\n')], { holes: '0+4096' });
    made.write(at.store);
    const data = join(at.store, StanzaStore.dataFile);
    const bytes = readFileSync(data);
    const place = bytes.indexOf(second) + 100;
    bytes.writeUInt8(bytes.readUInt8(place) ^ 1, place);
    writeFileSync(data, bytes);
    const run = await lbsToFile(t, 4, ['dump', `--store=${at.store}`, '--sparse', SNAPSHOT]);
    t.regex(run.stderr, /damaged: .*: victim: .*its last 8192 bytes are zeros/);
    extract(t, 'GNU tar', run.file, at.target);
    const zeros = (length: number) => Buffer.alloc(length);
    t.true(readFileSync(join(at.target, 'victim')).equals(Buffer.concat([first, zeros(12288)])));
    t.is(
      readFileSync(join(at.target, 'fine'), 'latin1'),
      `${zeros(4096).toString('latin1')}well\n`,
    );
  },
);
