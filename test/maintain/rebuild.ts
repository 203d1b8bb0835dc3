/** A rebuilt database never offers what a snapshot could not restore: stores that nobody would write. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import test, { type ExecutionContext } from 'ava';
import { rebuild } from '../../src/maintain/rebuild.ts';
import type { ReportEvent } from '../../src/report.ts';
import {
  fileStanza,
  objectName,
  segmentName,
  sha256,
  writeSegment,
  writeSnapshot,
} from '../helpers/hand-made-store.ts';
import { places, type Places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';

const MIB = 1024 * 1024;
const DATA = 1;
const LOG = 2;

type Block = { readonly object: number; readonly sha256: string; readonly size: number };

/** A store with one snapshot of these stanzas, rebuilt; the blocks of segment 1 that are offered. */
async function offered(
  t: ExecutionContext,
  at: Places,
  objects: readonly Buffer[],
  stanzas: readonly string[],
): Promise<{ blocks: Block[]; log: Block[]; damage: string[]; damaged: number }> {
  const { store, localdb } = at;
  writeSegment(store, DATA, objects);
  writeSegment(store, LOG, [stanzas.join('')]);
  const contentOf = (file: string) => readFileSync(join(store, file));
  const root = objectName(LOG, 0);
  writeSnapshot(store, { timestamp: '20200101T000000', root, digits: [DATA, LOG], contentOf });
  const damage: string[] = [];
  const report = (event: ReportEvent) => {
    if (event.type === 'damage') damage.push(event.damage.message);
  };
  const { damaged } = await rebuild({ store, localdb, report });
  const db = new Database(join(localdb, 'lbs-localdb.sqlite'), { readonly: true });
  t.teardown(() => db.close());
  const rowsOf = db.prepare<[string], { object: number; sha256: Buffer; size: number }>(
    `select b.id % 16777216 as object, b.sha256, b.size from blocks b join segments s
       on s.id = b.id / 16777216 where s.name = ? order by b.id`,
  );
  const blocksOf = (digit: number) =>
    rowsOf.all(segmentName(digit)).map((row) => ({ ...row, sha256: row.sha256.toString('hex') }));
  return {
    blocks: blocksOf(DATA),
    log: blocksOf(LOG),
    damage,
    damaged,
  };
}

const withBlocks = (stanza: string, digests: readonly string[]) =>
  stanza.replace('sha256:', `block_sha256: ${digests.join('\n    ')}\nsha256:`);

test('a file of one object gives a block, and one of several gives those', async (t) => {
  const a = pseudoRandom('a', 1000);
  const b = pseudoRandom('b', MIB);
  const c = pseudoRandom('c', 500);
  const long = Buffer.concat([b, c]);
  const names = [0, 1, 2].map((object) => objectName(DATA, object));
  const { blocks, damage } = await offered(
    t,
    places(t),
    [a, b, c],
    [
      fileStanza('a', a, names.slice(0, 1)),
      withBlocks(fileStanza('long', long, names.slice(1)), [sha256(b), sha256(c)]),
    ],
  );
  t.deepEqual(damage, []);
  t.deepEqual(blocks, [
    { object: 0, sha256: sha256(a), size: 1000 },
    { object: 1, sha256: sha256(b), size: MIB },
    { object: 2, sha256: sha256(c), size: 500 },
  ]);
});

test('a part of an object is no block, although it is all of a file', async (t) => {
  const whole = pseudoRandom('a', 1000);
  const name = objectName(DATA, 0);
  const { blocks } = await offered(
    t,
    places(t),
    [whole],
    [
      fileStanza('start', whole.subarray(0, 400), [`${name}[0+400]`]),
      fileStanza('end', whole.subarray(400), [`${name}[400+600]`]),
    ],
  );
  t.deepEqual(blocks, []);
});

test('an object of which two things are said is not offered, and that is damage', async (t) => {
  const a = pseudoRandom('a', 1000);
  const b = pseudoRandom('b', 1000);
  const names = [objectName(DATA, 0)];
  const { blocks, damage, damaged } = await offered(
    t,
    places(t),
    [a],
    [fileStanza('a', a, names), fileStanza('b', b, names), fileStanza('c', a, names)],
  );
  t.deepEqual(blocks, []);
  t.is(damaged, 1);
  t.regex(damage.join('\n'), /two digests of one object/);
});

test('numbers and digests that can not be cost their file, not the rest', async (t) => {
  const a = pseudoRandom('a', 1000);
  const names = [objectName(DATA, 0)];
  const beyond = objectName(DATA, 0).replace('/00000000', '/1000000');
  const other = pseudoRandom('other', 1000);
  const { blocks, log, damaged } = await offered(
    t,
    places(t),
    [a],
    [
      // With 2^24 objects a segment, it would be an object of the next one.
      fileStanza('beyond', other, [beyond]),
      fileStanza('far', other, [beyond.replace('/1000000', '/fffffffffffff')]),
      withBlocks(fileStanza('short', Buffer.concat([other, other]), [names[0] ?? '', 'zero[9]']), [
        'abc',
      ]),
      fileStanza('sizes', a, [`${names[0]}[0+9]`, `${names[0]}[0+9]`]),
      fileStanza('nothing', a, ['nonsense']),
      fileStanza('a', a, names),
    ],
  );
  t.deepEqual(blocks, [{ object: 0, sha256: sha256(a), size: 1000 }]);
  t.is(log.length, 1, 'the object of the next segment is what it was');
  t.true(damaged >= 1);
});
