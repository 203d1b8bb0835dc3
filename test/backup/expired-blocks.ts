/**
 * Blocks whose place cleaning gave up: they are stored again in the group that cleaning chose,
 * keep their age, and what they belong to is restored right. Cleaning is done by SQL here, as
 * lbs-localdb(5) has it.
 */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import test, { type ExecutionContext } from 'ava';
import { LOCALDB_FILE } from '../../src/localdb/open-localdb.ts';
import { backupOptions, clockAhead, places, type Places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { jsonLines, jsonMessage, lbsOk } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

const MIB = 1024 * 1024;
const FILES = {
  'a/small': 'a small file',
  'a/empty': '',
  'a/zeros': Buffer.alloc(3000),
  /** Cut by its content into blocks of 872303, 226287, 204139 and 799423 bytes. */
  'b/large': pseudoRandom('large', 2 * MIB + 5000),
  'b/other': pseudoRandom('other', 100_000),
};

type Told = {
  readonly bytesRead: number;
  readonly added: number;
  /** Status words by path. */
  readonly words: Record<string, string>;
};

async function backupLater(
  t: ExecutionContext,
  at: Places,
  aheadS: number,
  more: readonly string[] = [],
): Promise<Told> {
  const options = { cwd: at.tree, env: clockAhead(aheadS) };
  const run = await lbsOk(t, ['--json', '-v', ...backupOptions(at), ...more, '.'], options);
  const summary = jsonMessage(run, 'summary');
  const words = jsonLines(run).flatMap(({ message_type: type, item, status }) =>
    type === 'verbose_status' ? [[String(item), String(status)] as const] : [],
  );
  return {
    bytesRead: Number(summary['bytes_read']),
    added: Number(summary['content_added']),
    words: Object.fromEntries(words),
  };
}

/** Runs SQL on the local database. */
function sql<Row = unknown>(at: Places, text: string): Row[] {
  const db = new Database(join(at.localdb, LOCALDB_FILE));
  try {
    const statement = db.prepare<[], Row>(text);
    if (statement.reader) return statement.all();
    statement.run();
    return [];
  } finally {
    db.close();
  }
}

type BlockRow = {
  readonly grp: string;
  readonly size: number;
  readonly age: number | null;
  readonly created: number;
  readonly expired: number | null;
  readonly digest: string;
};

function blocks(at: Places): BlockRow[] {
  return sql<BlockRow>(
    at,
    `select s.grp, b.size, b.age, s.created, b.expired, hex(b.sha256) as digest
     from blocks b join segments s on s.id = b.id >> 24 order by b.id`,
  );
}

const OF_GROUP = (group: string) => `id >> 24 in (select id from segments where grp = '${group}')`;

async function checkLatest(t: ExecutionContext, at: Places): Promise<void> {
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  sameTree(t, readTree(at.tree), readTree(at.target));
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
}

test('expired blocks are stored again in the group for their age, and keep it', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  await backupLater(t, at, 1000);
  const first = blocks(at).filter(({ grp }) => grp === 'data');
  sql(at, `update blocks set expired = 0 where ${OF_GROUP('data')}`);
  sql(at, `update blocks set expired = 2 where size in (872303, 204139)`);
  const second = await backupLater(t, at, 2000);
  t.deepEqual(second.words, { 'a/small': 'repack', 'b/large': 'repack', 'b/other': 'repack' });
  const size = Object.entries(FILES).reduce((sum, [path, content]) => {
    return path === 'a/zeros' ? sum : sum + content.length;
  }, 0);
  t.is(second.bytesRead, size, 'only what needs its blocks is read');
  t.is(second.added, size);
  const again = blocks(at).filter(({ grp, expired }) => grp !== 'metadata' && expired === null);
  t.deepEqual(again.map(({ grp, size: bytes }) => `${grp} ${bytes}`).sort(), [
    'compacted-2 204139',
    'compacted-2 872303',
    'data 100000',
    'data 12',
    'data 226287',
    'data 799423',
  ]);
  for (const { digest, age, created } of again) {
    const before = first.find((row) => row.digest === digest);
    t.is(age, before?.age ?? before?.created ?? Number.NaN, 'the time it was first stored');
    t.true(created > (age ?? created));
  }
  await checkLatest(t, at);
  const third = await backupLater(t, at, 3000);
  t.deepEqual(third, { bytesRead: 0, added: 0, words: {} });
});

test('an age survives being stored again a second time', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { file: 'content' });
  await backupLater(t, at, 1000);
  const first = blocks(at).find(({ grp }) => grp === 'data');
  sql(at, 'update blocks set expired = 1');
  await backupLater(t, at, 2000);
  sql(at, 'update blocks set expired = 3');
  await backupLater(t, at, 3000);
  const last = blocks(at).findLast(({ digest }) => digest === first?.digest);
  t.is(last?.grp, 'compacted-3');
  t.is(last?.age, first?.created);
  await checkLatest(t, at);
});

test('a file of which only one block has expired is stored again in part', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  await backupLater(t, at, 1000);
  sql(at, 'update blocks set expired = 0 where size = 204139');
  const second = await backupLater(t, at, 2000);
  t.deepEqual(Object.keys(second.words), ['b/large'], 'no other file is read');
  t.regex(second.words['b/large'] ?? '', /^(partial|repack)$/);
  t.is(second.added, 204_139);
  await checkLatest(t, at);
});

test('expired blocks that nothing needs are not stored again', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  await backupLater(t, at, 1000);
  sql(at, `update blocks set expired = 0 where ${OF_GROUP('data')}`);
  makeFiles(at.tree, { 'b/large': 'short now', 'b/other': 'this too' });
  const second = await backupLater(t, at, 2000);
  t.is(second.added, 'short nowthis tooa small file'.length);
  await checkLatest(t, at);
});

test('a file with a new block among known ones is partial', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  await backupLater(t, at, 1000);
  appendFileSync(join(at.tree, 'b/large'), 'more');
  const second = await backupLater(t, at, 2000);
  t.is(second.words['b/large'], 'partial');
  t.is(second.added, 799_427);
  sql(at, `update blocks set expired = 0 where ${OF_GROUP('data')}`);
  await backupLater(t, at, 3000);
  await checkLatest(t, at);
});

test('expired metadata is written anew, without reading any file', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  await backupLater(t, at, 1000);
  await backupLater(t, at, 2000);
  sql(at, `update blocks set expired = 0 where ${OF_GROUP('metadata')}`);
  const third = await backupLater(t, at, 3000);
  t.deepEqual(third, { bytesRead: 0, added: 0, words: {} });
  await checkLatest(t, at);
  t.deepEqual(await backupLater(t, at, 4000), { bytesRead: 0, added: 0, words: {} });
});

test('blocks of a segment that was given up as a whole are stored again', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  await backupLater(t, at, 1000);
  sql(at, "update segments set expired = 1 where grp = 'data'");
  sql(at, `update blocks set expired = 1 where ${OF_GROUP('data')}`);
  const second = await backupLater(t, at, 2000);
  t.is(second.words['b/other'], 'repack');
  t.true(second.added > 2 * MIB);
  await checkLatest(t, at);
});
