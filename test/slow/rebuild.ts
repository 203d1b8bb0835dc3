/**
 * A lost local database of a store with 200,000 entries, and what the run after its rebuild costs.
 * Prints its figures: `make test-slow`. A smaller one is in test/maintain/rebuilt-cache.ts.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { PROJECT } from '../helpers/run-lbs.ts';

const DIRECTORIES = 1000;
const FILES_PER_DIRECTORY = 200;

type Summary = { readonly content_added: number; readonly data_added: number };

function timed(t: ExecutionContext, cwd: string, args: readonly string[]): Summary {
  const start = performance.now();
  const options = { cwd, encoding: 'utf8' } as const;
  const { status, stdout, stderr } = spawnSync(join(PROJECT, 'bin', 'lbs'), args, options);
  t.is(status, 0, stderr);
  t.log(`${args[0]}: ${((performance.now() - start) / 1000).toFixed(1)} s ${stdout.trim().split('\n').at(-1)}`); // prettier-ignore
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}');
}

test('a database of 200,000 entries is made again, and next to nothing is stored after it', (t) => {
  t.timeout(1_800_000);
  const { tree, store, localdb } = places(t);
  for (let d = 0; d < DIRECTORIES; d++) {
    mkdirSync(join(tree, `${d}`));
    for (let f = 0; f < FILES_PER_DIRECTORY; f++) {
      writeFileSync(join(tree, `${d}`, `${f}`), pseudoRandom(`${d}/${f}`, 100 + f));
    }
  }
  const where = [`--store=${store}`, `--localdb=${localdb}`, '--json'];
  const first = timed(t, tree, ['backup', ...where, '.']);
  rmSync(localdb, { recursive: true });
  timed(t, tree, ['rebuild', ...where]);
  const next = timed(t, tree, ['backup', ...where, '.']);
  t.is(next.content_added, 0);
  t.true(next.data_added < first.data_added / 100, `${next.data_added} of ${first.data_added}`);
});
