/** Every entry of every snapshot is found in just the snapshots that hold it, of whatever program. */
import test from 'ava';
import { uriEscape } from '../../src/format/uri-escape.ts';
import { find } from '../../src/inspect/find.ts';
import { entries } from '../../src/maintain/list-entries.ts';
import { bytePath } from '../../src/std/byte-path.ts';
import { expectedEntries, fixtureKeys, FIXTURES } from '../helpers/fixture-stores.ts';
import { backupOptions, places } from '../helpers/places.ts';
import { lbsOk } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';

const keys = fixtureKeys();
Object.assign(process.env, keys.env);
test.after.always(() => keys.remove());

/** Paths (escaped) by the name of the snapshot, as a search finds them. */
async function foundIn(store: string, path?: string): Promise<Map<string, string[]>> {
  const where = path === undefined ? {} : { path: bytePath(path) };
  const { snapshots, versions } = await find({ store, criteria: {}, ...where });
  const found = new Map<string, string[]>(snapshots.map(({ name }) => [name, []]));
  for (const version of versions.versions()) {
    for (const at of version.snapshots) {
      found.get(snapshots[at]?.name ?? '')?.push(uriEscape(version.path));
    }
  }
  versions.close();
  return found;
}

for (const fixture of FIXTURES) {
  test(`${fixture.name}: a search finds in each snapshot what is in it`, async (t) => {
    for (const [name, paths] of await foundIn(fixture.store)) {
      const all = expectedEntries(fixture, name);
      t.deepEqual(paths.sort(), all.map((entry) => entry.path).sort(), name);
    }
  });
}

test('a search in many snapshots finds what a listing of each finds', async (t) => {
  const at = places(t);
  for (let run = 0; run < 6; run++) {
    const numbers = Array.from({ length: 400 }, (_, number) => number + run * 50);
    const names = numbers.map((number) => [`d${number % 9}/f${number}`, `${run} ${number}`]);
    makeFiles(at.tree, Object.fromEntries(names.slice(run * 40)));
    await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  }
  for (const path of [undefined, 'd3']) {
    const where = path === undefined ? {} : { path: bytePath(path) };
    const found = await foundIn(at.store, path);
    t.is(found.size, 6);
    for (const [snapshot, paths] of found) {
      const listed: string[] = [];
      for await (const entry of entries({ store: at.store, snapshot, ...where })) {
        listed.push(uriEscape(entry.path));
      }
      t.deepEqual(paths.sort(), listed.sort(), snapshot);
    }
  }
});
