/** Files that are changed in place: which they are, and what a change of one costs. */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import test, { type ExecutionContext } from 'ava';
import { HEAD_BYTES, inPlaceBlockBytes } from '../../src/backup/in-place-formats.ts';
import { backupOptions, clockAhead, places, type Places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { jsonMessage, lbsOk } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
const BLOCK_BYTES = 32 * KIB;

/** The first bytes of a file, with bytes (in hex) at some places and noise or zeros between. */
function head(parts: Record<number, string>, between: Buffer = Buffer.alloc(HEAD_BYTES)): Buffer {
  const bytes = Buffer.from(between);
  for (const [at, hex] of Object.entries(parts)) bytes.write(hex, Number(at), 'hex');
  return bytes;
}

const noise = pseudoRandom('noise', HEAD_BYTES);
/** The header of a PostgreSQL page from `pd_lower` on: 4 rows, on little-endian machines. */
const POSTGRES_PAGE = '2800c01e00200420';

const IN_PLACE: [what: string, head: Buffer][] = [
  ['SQLite', head({ 0: Buffer.from('SQLite format 3\0').toString('hex') }, noise)],
  ['LMDB', head({ 16: 'dec0efbe' })],
  ['Outlook', head({ 0: Buffer.from('!BDN').toString('hex') }, noise)],
  ['QCOW', head({ 0: Buffer.from('QFI\xfb', 'latin1').toString('hex') })],
  ['VMDK', head({ 0: Buffer.from('KDMV').toString('hex') })],
  ['VHDX', head({ 0: Buffer.from('vhdxfile').toString('hex') })],
  ['VDI', head({ 0: Buffer.from('<<< Oracle VM').toString('hex'), 64: '7f10dabe' })],
  ['LUKS', head({ 0: '4c554b53babe0002' }, noise)],
  ['ext4', head({ [1024 + 56]: '53ef' })],
  ['PostgreSQL', head({ 12: POSTGRES_PAGE, [8192 + 12]: POSTGRES_PAGE }, noise)],
  ['InnoDB', head({ 4: '00000000', 24: '0008', 34: '0000002a0000002a' }, noise)],
  ['a disk', head({ 446: '80', 462: '00', 478: '00', 494: '00', 510: '55aa' }, noise)],
];

for (const [what, bytes] of IN_PLACE) {
  test(`a file of ${what} is changed in place`, (t) => {
    t.is(inPlaceBlockBytes(bytes, 10 * MIB), BLOCK_BYTES);
  });
}

test('other files are not', (t) => {
  const others = [
    head({}),
    noise,
    Buffer.alloc(HEAD_BYTES, 'text and no end\n'),
    head({ 510: '55aa' }, noise),
    head({ 12: POSTGRES_PAGE }, noise),
    head({ 24: '0008' }, noise),
  ];
  for (const other of others) t.is(inPlaceBlockBytes(other, 10 * MIB), undefined);
});

test('larger files have larger blocks, so that no stanza grows without end', (t) => {
  const sqlite = IN_PLACE[0]?.[1] ?? noise;
  const sizes = [MIB + 1, GIB, GIB + 1, 4 * GIB, 4 * GIB + 1, 16 * GIB + 1, 1000 * GIB];
  const blocks = sizes.map((size) => inPlaceBlockBytes(sqlite, size));
  t.deepEqual(
    blocks,
    [32, 32, 128, 128, 512, 1024, 1024].map((size) => size * KIB),
  );
});

async function added(t: ExecutionContext, at: Places, aheadS: number): Promise<number> {
  const options = { cwd: at.tree, env: clockAhead(aheadS) };
  const run = await lbsOk(t, ['--json', ...backupOptions(at), '.'], options);
  return Number(jsonMessage(run, 'summary')['content_added']);
}

const ROWS = 30_000;

function makeDatabase(file: string): void {
  const db = new Database(file);
  db.exec('create table things(id integer primary key, content blob)');
  const insert = db.prepare('insert into things values (?, ?)');
  const content = pseudoRandom('rows', ROWS + 1000);
  db.transaction(() => {
    for (let id = 0; id < ROWS; id++) insert.run(id, content.subarray(id, id + 1000));
  })();
  db.close();
}

/** Overwrites 100 rows that lie anywhere. */
function changeRows(file: string, seed: string): void {
  const db = new Database(file);
  const update = db.prepare('update things set content = ? where id = ?');
  const chance = pseudoRandom(seed, 100 * 4);
  db.transaction(() => {
    for (let at = 0; at < chance.length; at += 4) {
      update.run(pseudoRandom(`${seed} ${at}`, 1000), chance.readUInt32LE(at) % ROWS);
    }
  })();
  db.close();
}

test('a database that is changed in 100 places adds about 100 small blocks', async (t) => {
  const at = places(t);
  const file = join(at.tree, 'database');
  makeDatabase(file);
  await added(t, at, 1000);
  for (const run of [1, 2]) {
    changeRows(file, `change ${run}`);
    const cost = await added(t, at, 1000 + 1000 * run);
    // One of them is the first, which has a counter of changes.
    t.true(cost > 50 * BLOCK_BYTES && cost <= 101 * BLOCK_BYTES, String(cost));
  }
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  sameTree(t, readTree(at.tree), readTree(at.target));
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
  const restored = join(at.base, 'restored');
  copyFileSync(join(at.target, 'database'), restored);
  const db = new Database(restored);
  t.is(db.pragma('integrity_check', { simple: true }), 'ok');
  db.close();
});

test('pages of zeros in a database are not stored', async (t) => {
  const at = places(t);
  const sqlite = Buffer.from('SQLite format 3\0');
  const data = pseudoRandom('pages', MIB - sqlite.length);
  const zeros = Buffer.alloc(3 * MIB + 5000);
  makeFiles(at.tree, { database: Buffer.concat([sqlite, data, zeros]) });
  t.is(await added(t, at, 1000), MIB);
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  sameTree(t, readTree(at.tree), readTree(at.target));
});
