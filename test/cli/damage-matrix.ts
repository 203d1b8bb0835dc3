/**
 * A sample of the matrix of damages (all of it: `make test-damage`): one point of each way and kind
 * of file within this process, and a few with the program.
 */
import test, { type ExecutionContext } from 'ava';
import { asProgram, inProcess, judge, matrixStore, type Runner } from '../helpers/damage-matrix.ts';
import { type Harm, harmsOf, kindOf } from '../helpers/damage-ways.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';

type Point = { readonly file: string; readonly harm: Harm };

/** `bit 3 of byte 17 flipped` -> `bit of byte flipped`; names of files do not count either. */
function wayOf({ file, harm }: Point): string {
  const how = harm.how.replace(/[0-9a-f]{8}-\S+|snapshot-\S+/g, '').replace(/ ?\d+/g, '');
  return `${kindOf(file)} ${how}`;
}

/** One point of each way. */
function sampleOf(points: readonly Point[], seed: string): Point[] {
  const ways = new Map<string, Point[]>();
  for (const point of points) {
    const way = wayOf(point);
    ways.set(way, [...(ways.get(way) ?? []), point]);
  }
  return [...ways].flatMap(([way, of]) => {
    const at = pseudoRandom(seed + way, 4).readUInt32LE() % of.length;
    return of[at] ?? [];
  });
}

async function trySample(
  t: ExecutionContext,
  filter: string,
  runnerOf: (at: number) => Runner,
): Promise<void> {
  // No claim is checked before the end, and on a busy machine ava would wait no longer.
  t.timeout(600_000);
  const at = await matrixStore(t, [`--filter=${filter}`]);
  const all = at.files.flatMap((file) =>
    harmsOf(at.store, file, at.files, 2).map((harm) => ({ file, harm })),
  );
  const failures: string[] = [];
  const sample = sampleOf(all, at.snapshots.join());
  for (const [number, { file, harm }] of sample.entries()) {
    for (const wrong of await judge(at, { file, harm }, runnerOf(number))) {
      failures.push(`${file}: ${harm.how}: ${wrong}`);
    }
  }
  t.true(sample.length > 30, `${sample.length} points`);
  t.deepEqual(failures, []);
}

test('a sample of damages to a bare store is found, named and confined', async (t) => {
  await trySample(t, 'cat', () => inProcess);
});

test('a sample of damages to a compressed store is found, named and confined', async (t) => {
  const program = asProgram(t);
  await trySample(t, 'zstd -c', (number) => (number % 6 === 0 ? program : inProcess));
});
