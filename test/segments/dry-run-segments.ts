/** A dry run of any size: what it has found goes to a copy of the database and not into memory. */
import { hash } from 'node:crypto';
import test from 'ava';
import { BlockIndex } from '../../src/localdb/block-index.ts';
import { openScratchCopy } from '../../src/localdb/open-localdb.ts';
import { DryRunSegments } from '../../src/segments/dry-run-segments.ts';
import { tempDir } from '../helpers/temp-dir.ts';

test('blocks of a long dry run are forgotten by the memory, and still found', async (t) => {
  const open = openScratchCopy(tempDir(t));
  t.teardown(() => open.close());
  const index = new BlockIndex(open);
  const full: string[] = [];
  const segments = new DryRunSegments((segment) => {
    full.push(segment.name);
    index.addSegment(segment);
  });
  const digest = (n: number) => hash('sha256', String(n));
  const count = 150_000;
  for (let n = 0; n < count; n++) index.addPending(digest(n), 10, segments.add('data'));
  t.is(full.length, 2);
  const places = [0, 65_535, 65_536, count - 1].map((n) => {
    const known = index.find(digest(n), 10, () => true);
    return known?.kind === 'stored' ? known.place : undefined;
  });
  t.deepEqual(places.slice(0, 3), [
    { segment: full[0], object: 0 },
    { segment: full[0], object: 65_535 },
    { segment: full[1], object: 0 },
  ]);
  t.is(places[3]?.object, count - 1 - 2 * 65_536);
  t.is(
    index.find(digest(count), 10, () => true),
    undefined,
  );
  await segments.close();
});
