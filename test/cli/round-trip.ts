/** The main property: a tree, saved and brought back, is the same tree. */
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import '../helpers/on-disk.ts';
import { makeHardTree } from '../helpers/hard-tree.ts';
import { backupOptions, clockAhead, places, type Places, restored } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { lbs, lbsExits, lbsOk, ordinaryUserCanRun, restoreOk } from '../helpers/run-lbs.ts';
import { segmentObjects } from '../helpers/segment-objects.ts';
import { addedFiles, snapshotNames, storeState } from '../helpers/store-state.ts';
import { isRoot, ORDINARY_USER } from '../helpers/temp-dir.ts';
import { readTree, sameTree, shownPath, treeDifferences } from '../helpers/tree-state.ts';

/** Without root the tree holds files that nobody but root can read: those runs end with 3. */
const EXIT_OF_HARD_TREE = isRoot ? 0 : 3;

async function backup(t: ExecutionContext, at: Places, path: string, aheadS = 0): Promise<void> {
  const env = aheadS === 0 ? {} : clockAhead(aheadS);
  await lbsExits(t, EXIT_OF_HARD_TREE, ['backup', ...backupOptions(at), path], { env });
}

test('a hard tree saved by its absolute path comes back with no difference', async (t) => {
  const at = places(t);
  makeHardTree(at.tree);
  const before = readTree(at.tree);
  await backup(t, at, at.tree);
  sameTree(t, before, readTree(at.tree));
  await restoreOk(t, [`--store=${at.store}`, 'latest', at.target]);
  if (isRoot) sameTree(t, before, readTree(restored(at.target, at.tree)));
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
});

test('a hard tree saved as "." comes back with no difference, its top included', async (t) => {
  const at = places(t);
  makeHardTree(at.tree);
  const before = readTree(at.tree);
  await lbsExits(t, EXIT_OF_HARD_TREE, [...backupOptions(at), '.'], { cwd: at.tree });
  mkdirSync(at.target);
  await restoreOk(t, [`--store=${at.store}`, 'latest', at.target]);
  if (isRoot) sameTree(t, before, readTree(at.target));
});

test('restoring again over a restored tree changes nothing, not even change times', async (t) => {
  const at = places(t);
  makeHardTree(at.tree);
  await backup(t, at, at.tree);
  const restore = [`--store=${at.store}`, 'latest', at.target];
  await restoreOk(t, restore);
  const first = readTree(at.target);
  await restoreOk(t, restore);
  sameTree(t, first, readTree(at.target), { ctimes: true });
});

/** Bytes that a run added, beside the lists of segments that every snapshot carries. */
function bytesBesideLists(store: string, added: string[]): number {
  let bytes = 0;
  for (const name of added) {
    if (/\.sha(1|256)sums$/.test(name)) continue;
    const content = readFileSync(join(store, name));
    bytes += content.length;
    if (!name.endsWith('.lbs')) continue;
    bytes -= (content.toString('latin1').match(/^ {4}[0-9a-f-]{36}\n/gm) ?? []).join('').length;
  }
  return bytes;
}

test('a second backup of an unchanged tree stores no data and adds under 2 KB', async (t) => {
  const at = places(t);
  makeHardTree(at.tree);
  await backup(t, at, at.tree, 1000);
  const first = storeState(at.store);
  await backup(t, at, at.tree, 2000);
  const second = storeState(at.store);
  const added = addedFiles(first, second);
  for (const [name, state] of first) t.deepEqual(second.get(name), state, `${name} was changed`);
  const bytes = bytesBesideLists(at.store, added);
  t.true(bytes < 2048, `${bytes} bytes were added: ${added.join(' ')}`);
  for (const name of added.filter((file) => file.includes('.tar'))) {
    for (const [object, content] of segmentObjects(t, at.store, name)) {
      t.regex(content.toString('latin1').slice(0, 6), /^(@|name: )/, `${object} is no metadata`);
    }
  }
  t.is(snapshotNames(at.store).length, 2);
  await restoreOk(t, [`--store=${at.store}`, 'latest', at.target]);
  if (isRoot) sameTree(t, readTree(at.tree), readTree(restored(at.target, at.tree)));
});

test('a backup straight after another stores no data either', async (t) => {
  const at = places(t);
  makeHardTree(at.tree);
  await backup(t, at, at.tree);
  const first = storeState(at.store);
  await backup(t, at, at.tree);
  const added = addedFiles(first, storeState(at.store)).filter((file) => file.includes('.tar'));
  for (const name of added) {
    for (const [object, content] of segmentObjects(t, at.store, name)) {
      t.regex(content.toString('latin1').slice(0, 6), /^(@|name: )/, `${object} is no metadata`);
    }
  }
  t.is(snapshotNames(at.store).length, 2, 'two runs within a second make two snapshots');
});

function changeTree(tree: string): void {
  const at = (...parts: string[]) => join(tree, ...parts);
  appendFileSync(at('sizes', '5242880'), 'more');
  writeFileSync(at('sizes', '1'), pseudoRandom('other', 1));
  const middle = readFileSync(at('links', 'a', 'one'));
  middle[1_500_000] = (middle[1_500_000] ?? 0) ^ 1;
  writeFileSync(at('links', 'z'), middle);
  rmSync(at('links', 'b', 'two'));
  rmSync(at('same', 'copy-7'));
  renameSync(at('many', 'f7'), at('many', 'renamed'));
  chmodSync(at('sizes', '512'), 0o600);
  rmSync(at('empty directory'), { recursive: true });
  writeFileSync(at('empty directory'), 'now a file');
  rmSync(at('sizes', '513'));
  mkdirSync(at('sizes', '513'));
  rmSync(at('symlinks', 'dangling'));
  symlinkSync('elsewhere', at('symlinks', 'dangling'));
  writeFileSync(at('-new'), 'sorts before the top');
  linkSync(at('-new'), at('links', 'new link'));
  mkdirSync(at('new', 'below'), { recursive: true });
  writeFileSync(at('new', 'below', 'file'), pseudoRandom('new', 70_000));
}

test('every snapshot comes back as the tree was at its time', async (t) => {
  const at = places(t);
  makeHardTree(at.tree);
  const before = readTree(at.tree);
  await backup(t, at, at.tree, 1000);
  await backup(t, at, at.tree, 2000);
  changeTree(at.tree);
  const after = readTree(at.tree);
  await backup(t, at, at.tree, 3000);
  for (const [snapshot, state] of [
    ['latest', after],
    ['latest~1', before],
    ['latest~2', before],
  ] as const) {
    const target = join(at.base, snapshot);
    await restoreOk(t, [`--store=${at.store}`, snapshot, target]);
    if (isRoot) sameTree(t, state, readTree(restored(target, at.tree)));
  }
});

test('a restore over an older one brings every change, and keeps what it does not know', async (t) => {
  const at = places(t);
  makeHardTree(at.tree);
  await backup(t, at, at.tree, 1000);
  changeTree(at.tree);
  await backup(t, at, at.tree, 2000);
  await restoreOk(t, [`--store=${at.store}`, 'latest~1', at.target]);
  const place = restored(at.target, at.tree);
  rmSync(join(place, 'empty directory'), { recursive: true });
  rmSync(join(place, 'sizes', '513'));
  await restoreOk(t, [`--store=${at.store}`, 'latest', at.target]);
  const differences = treeDifferences(readTree(at.tree), readTree(place));
  const extra = ['links/b/two', 'many/f7', 'same/copy-7'];
  const wanted = extra.map((path) => `${path}: extra`);
  t.deepEqual(isRoot ? differences.map(({ text }) => text) : wanted, wanted);
});

test('chosen paths come back alone, with the directories that hold them', async (t) => {
  const at = places(t);
  makeHardTree(at.tree);
  await lbsExits(t, EXIT_OF_HARD_TREE, [...backupOptions(at), '.'], { cwd: at.tree });
  const chosen = ['links/b', 'sizes/1048577', 'names/-n', 'deep', 'times'];
  await restoreOk(t, [`--store=${at.store}`, 'latest', at.target, ...chosen]);
  const found = readTree(at.target);
  const wanted = readTree(at.tree);
  const differences = treeDifferences(wanted, found).filter(({ field }) => field !== 'missing');
  const isLinkField = ({ field }: { field: string }) => field === 'links' || field === 'sameAs';
  t.deepEqual(
    differences.filter((each) => !isLinkField(each)).map((each) => each.text),
    [],
  );
  const paths = [...found.keys()].filter((path) => !/^(deep|times|links\/b)\//.test(path));
  const parents = ['.', 'deep', 'links', 'links/b', 'names', 'sizes', 'times'];
  t.deepEqual(paths.sort(), [...parents, 'names/-n', 'sizes/1048577'].sort());
  t.is([...wanted.keys()].filter((path) => path.startsWith('deep/')).length,
    [...found.keys()].filter((path) => path.startsWith('deep/')).length); // prettier-ignore
});

test('an ordinary user gets all but what only root can do, and is told of each', async (t) => {
  if (!isRoot || !ordinaryUserCanRun(t)) return t.pass();
  const at = places(t, 'ordinary');
  makeHardTree(at.tree, { owner: ORDINARY_USER });
  const before = readTree(at.tree);
  const options = { user: 'ordinary', cwd: at.tree } as const;
  const backupRun = await lbsExits(t, 3, ['backup', ...backupOptions(at), '.'], options);
  for (const path of ['modes/0000', 'modes/0001', 'modes/d0000']) {
    t.true(backupRun.stderr.includes(path), `${path} was not named:\n${backupRun.stderr}`);
  }
  const args = ['restore', '-v', `--store=${at.store}`, 'latest', at.target];
  const run = await lbsExits(t, 3, args, options);
  const unreadable = /^modes\/(0000|0001|d0000\/file)$/;
  for (const { path, field, text } of treeDifferences(before, readTree(at.target))) {
    if (unreadable.test(path)) continue;
    const isUnavoidable =
      (path.startsWith('owners/') && field === 'owner') ||
      (path === 'xattrs/capability' && field === 'xattrs') ||
      (/device/.test(path) && field === 'missing');
    t.true(isUnavoidable, `could have been avoided: ${text}`);
    t.true(run.stderr.includes(path), `${shownPath(path)} was not named:\n${run.stderr}`);
  }
});

test('an ordinary user restores what root saved, as far as that is possible', async (t) => {
  if (!isRoot || !ordinaryUserCanRun(t)) return t.pass();
  const at = places(t, 'ordinary');
  makeHardTree(at.tree);
  const before = readTree(at.tree);
  await lbsOk(t, ['backup', ...backupOptions(at), '.'], { cwd: at.tree });
  spawnSync('chmod', ['-R', 'a+rX', at.store]);
  const run = await lbs(t, ['restore', '-v', `--store=${at.store}`, 'latest', at.target], {
    user: 'ordinary',
  });
  t.is(run.code, 3, run.stderr);
  for (const { path, field, text } of treeDifferences(before, readTree(at.target))) {
    if (field === 'owner') continue;
    const isUnavoidable =
      (path.startsWith('xattrs/') && field === 'xattrs') ||
      (path.startsWith('modes/') && field === 'mode') ||
      (/device/.test(path) && field === 'missing');
    t.true(isUnavoidable, `could have been avoided: ${text}`);
    t.true(run.stderr.includes(path), `${shownPath(path)} was not named:\n${run.stderr}`);
  }
});

test('directories 700 levels deep come back', async (t) => {
  const at = places(t);
  const levels = 700;
  const script = 'i=0; while [ $i -lt "$0" ]; do mkdir d e; echo $i > f; cd d; i=$((i+1)); done';
  t.is(spawnSync('sh', ['-c', script, String(levels)], { cwd: at.tree }).status, 0);
  const before = readTree(at.tree);
  t.is(before.size, 1 + levels * 3);
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  await restoreOk(t, [`--store=${at.store}`, 'latest', at.target]);
  sameTree(t, before, readTree(at.target));
});
