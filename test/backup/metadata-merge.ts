/**
 * Small metadata segments grow together again: else a snapshot would need one more for every day
 * since the first. src/backup/metadata-reuse.ts
 */
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { parseDescriptor } from '../../src/format/descriptor.ts';
import { backup } from '../../src/backup/run-backup.ts';
import { bytePath } from '../../src/std/byte-path.ts';
import { tempDir } from '../helpers/temp-dir.ts';
import { verify } from '../../src/maintain/verify.ts';

const RUNS = 70;
/** The first segment, up to 17 small ones, and merged ones on their way to be merged again. */
const SEGMENTS_MAX = 40;

test('seventy runs with a new file each leave snapshots of a few metadata segments', async (t) => {
  const base = tempDir(t);
  const [tree, store] = [join(base, 'tree'), join(base, 'store')];
  mkdirSync(tree);
  mkdirSync(store);
  for (let at = 0; at < 80; at++) writeFileSync(join(tree, `first-${at}`), `${at}`);
  let most = 0;
  for (let run = 0; run < RUNS; run++) {
    writeFileSync(join(tree, `run-${String(run).padStart(3, '0')}`), 'the same content');
    const { snapshot = '' } = await backup({ store, paths: [bytePath(tree)] });
    const text = readFileSync(join(store, `snapshot-${snapshot}.lbs`), 'latin1');
    most = Math.max(most, parseDescriptor(text).segments.length);
  }
  t.true(most <= SEGMENTS_MAX, `${most} segments`);
  t.log(`${most} segments at most; ${readdirSync(store).length} files in the store`);
  const { damage } = await verify({ store, depth: 'data' });
  t.deepEqual(damage, []);
});
