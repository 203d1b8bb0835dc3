/** Objects of segments in any order, found by their frames or passed on the way. */
import { readdirSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { ObjectReader } from '../../src/segments/object-reader.ts';
import { SegmentSource } from '../../src/segments/segment-source.ts';
import { openStore } from '../../src/stores/open-store.ts';
import { backupOptions, places, type Places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { lbsOk } from '../helpers/run-lbs.ts';
import { segmentObjects } from '../helpers/segment-objects.ts';
import { makeIncompressible } from '../helpers/small-tree.ts';

type Wanted = { readonly segment: string; readonly object: number; readonly data: Buffer };

/** Every object of a store, as tar has them. */
function objectsOf(t: ExecutionContext, { store }: Places): Wanted[] {
  return readdirSync(store)
    .filter((file) => /\.tar(\.\w+)?$/.test(file))
    .flatMap((file) => [...segmentObjects(t, store, file)])
    .map(([name, data]) => {
      const [segment = '', object = ''] = name.split('/');
      return { segment, object: Number.parseInt(object, 16), data };
    });
}

/** How often each segment was read from its start. */
class CountingSource extends SegmentSource {
  readonly begun = new Map<string, number>();

  override objects(...args: Parameters<SegmentSource['objects']>) {
    this.begun.set(args[0], (this.begun.get(args[0]) ?? 0) + 1);
    return super.objects(...args);
  }
}

for (const options of [
  ['--segment-size=4M'],
  ['--segment-size=1M', '--filter=gzip -c', '--filter-extension=.gz'],
  ['--segment-size=200k'],
]) {
  test(`objects come in any order: ${options.join(' ')}`, async (t) => {
    const at = places(t);
    makeIncompressible(at.tree, 90, 60_000);
    await lbsOk(t, [...backupOptions(at), ...options, '.'], { cwd: at.tree });
    const wanted = objectsOf(t, at);
    t.true(wanted.length > 90);
    const source = new CountingSource(openStore(at.store));
    const reader = new ObjectReader(source);
    for (const { segment, object, data } of wanted) {
      t.true((await reader.read(segment, object)).equals(data));
    }
    t.true(Math.max(0, ...source.begun.values()) <= 1, 'in order, each segment is read once');
    const noise = pseudoRandom('order', 4 * wanted.length);
    source.begun.clear();
    for (let turn = 0; turn < wanted.length; turn++) {
      const one = wanted[noise.readUInt32LE(4 * turn) % wanted.length];
      if (one === undefined) continue;
      t.true((await reader.read(one.segment, one.object)).equals(one.data));
    }
    t.true(Math.max(0, ...source.begun.values()) <= 1, 'in any other order too, or not at all');
    await t.throwsAsync(reader.read(wanted[0]?.segment ?? '', 5000), { code: 'segment-corrupt' });
    const nowhere = '00000000-0000-4000-8000-000000000000';
    await t.throwsAsync(reader.read(nowhere, 0), { code: 'store-missing-file' });
    await reader.close();
  });
}
