/** Trees that change in every way between snapshots: each snapshot is the tree, then and later. */
import { appendFileSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { CheckedSeries, PADDING, fileName, makeManyFiles } from '../helpers/checked-series.ts';

/** A generator of numbers that is the same in every run. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** What is done to the tree, one after the other; each undoes or disturbs the ones before. */
const DISTURBANCES: readonly (readonly [what: string, change: (tree: string) => void])[] = [
  ['the first entry', (tree) => rmSync(join(tree, fileName(0, 0)))],
  ['the last entry', (tree) => rmSync(join(tree, fileName(29, 39)))],
  ['a new first entry', (tree) => writeFileSync(join(tree, '!first'), '1')],
  ['a new last entry', (tree) => writeFileSync(join(tree, '~last'), '2')],
  ['both gone again', (tree) => ['!first', '~last'].forEach((name) => rmSync(join(tree, name)))],
  ['a directory in the middle', (tree) => rmSync(join(tree, 'd15'), { recursive: true })],
  ['the first directories', (tree) => ['d00', 'd01', 'd02', 'd03', 'd04'].forEach((name) => rmSync(join(tree, name), { recursive: true }))],
  ['the last directories', (tree) => ['d29', 'd28', 'd27', 'd26'].forEach((name) => rmSync(join(tree, name), { recursive: true }))],
  ['every second file', (tree) => {
    for (const d of readdirSync(tree)) {
      for (const [at, f] of readdirSync(join(tree, d)).entries()) if (at % 2 === 0) rmSync(join(tree, d, f));
    }
  }],
  ['everything', (tree) => readdirSync(tree).forEach((name) => rmSync(join(tree, name), { recursive: true }))],
  ['everything back', (tree) => makeManyFiles(tree)],
  ['a directory renamed to the front', (tree) => renameSync(join(tree, 'd20'), join(tree, 'a'))],
  ['and back again', (tree) => renameSync(join(tree, 'a'), join(tree, 'd20'))],
  ['a file for a directory', (tree) => {
    rmSync(join(tree, 'd10'), { recursive: true });
    writeFileSync(join(tree, 'd10'), 'a file now');
  }],
  ['a directory for a file', (tree) => {
    rmSync(join(tree, 'd10'));
    mkdirSync(join(tree, 'd10/deep/er'), { recursive: true });
    writeFileSync(join(tree, 'd10/deep/er/file'), 'x');
  }],
]; // prettier-ignore

test.serial('whatever is taken away or added, each snapshot is the tree', async (t) => {
  const series = new CheckedSeries(t);
  makeManyFiles(series.at.tree);
  await series.take();
  for (const [what, change] of DISTURBANCES) {
    change(series.at.tree);
    const { root } = await series.take();
    const again = await series.take();
    t.deepEqual(again.root, root, `unchanged after: ${what}`);
    t.is(again.bytesAdded, 0, what);
  }
  await series.checkAll();
});

/** One to five random changes. */
function disturb(tree: string, next: (below: number) => number): void {
  for (let left = 1 + next(5); left > 0; left--) {
    const directories = readdirSync(tree);
    const directory = directories[next(directories.length)] ?? '';
    const files = readdirSync(join(tree, directory));
    const file = join(tree, directory, files[next(files.length)] ?? '');
    const fresh = join(tree, directory, `n${next(1000)}${PADDING}`);
    switch (files.length === 0 ? 0 : next(8)) {
      case 0:
      case 1:
        writeFileSync(fresh, `new ${next(1000)}`);
        break;
      case 2:
      case 3:
        rmSync(file);
        break;
      case 4:
      case 5:
        appendFileSync(file, 'x');
        break;
      case 6:
        renameSync(file, fresh);
        break;
      default:
        if (directories.length > 20) rmSync(join(tree, directory), { recursive: true });
        else {
          mkdirSync(join(tree, `e${next(1000)}`), { recursive: true });
        }
    }
  }
}

test.serial('thirty random changes, each snapshot right then and at the end', async (t) => {
  const series = new CheckedSeries(t);
  const { tree } = series.at;
  makeManyFiles(tree);
  await series.take();
  const next = numbers(7);
  for (let run = 0; run < 30; run++) {
    disturb(tree, next);
    await series.take(run % 10 === 9 ? { fullMetadata: true } : {});
  }
  await series.checkAll();
});
