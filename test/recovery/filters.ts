/** What undoes a filter for restore.sh: the programs that it knows, and a command of one's own. */
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { gpgHome } from '../helpers/gpg-home.ts';
import { backupOptions, places, type Places } from '../helpers/places.ts';
import { rescueRoot, putInto } from '../helpers/rescue-root.ts';
import { runScript } from '../helpers/restore-script.ts';
import { lbsOk } from '../helpers/run-lbs.ts';
import { makeSmallTree } from '../helpers/small-tree.ts';
import { segmentFiles } from '../helpers/store-state.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

async function saved(t: ExecutionContext, filter: string, extension: string): Promise<Places> {
  const at = places(t);
  makeSmallTree(at.tree);
  const options = [`--filter=${filter}`, `--filter-extension=${extension}`];
  await lbsOk(t, [...backupOptions(at), ...options, '.'], { cwd: at.tree });
  return at;
}

function isInstalled(t: ExecutionContext, program: string): boolean {
  if (spawnSync('which', [program]).status === 0) return true;
  t.log(`left out: ${program} is not installed`);
  t.pass();
  return false;
}

for (const [program, extension] of [
  ['xz', '.xz'],
  ['lz4', '.lz4'],
] as const) {
  test(`restore.sh undoes ${program}`, async (t) => {
    if (!isInstalled(t, program)) return;
    const at = await saved(t, `${program} -c`, extension);
    const { code, output } = await runScript(at.store, ['latest', at.target]);
    t.is(code, 0, output);
    sameTree(t, readTree(at.tree), readTree(at.target));
  });
}

test('restore.sh undoes age with the identity that LBS_AGE_IDENTITY names', async (t) => {
  if (!isInstalled(t, 'age-keygen')) return;
  const identity = join(places(t).base, 'identity');
  const { stderr } = spawnSync('age-keygen', ['-o', identity], { encoding: 'utf8' });
  const recipient = /age1\w+/.exec(stderr)?.[0] ?? '';
  const at = await saved(t, `zstd -c | age -r ${recipient}`, '.zst.age');
  const env = { LBS_AGE_IDENTITY: identity };
  const { code, output } = await runScript(at.store, ['latest', at.target], { env });
  t.is(code, 0, output);
  sameTree(t, readTree(at.tree), readTree(at.target));
});

test('restore.sh undoes --encrypt-to with gpg and the secret key', async (t) => {
  const key = gpgHome(t);
  const at = places(t);
  makeSmallTree(at.tree);
  await lbsOk(t, [...backupOptions(at), `--encrypt-to=${key.publicKey}`, '.'], { cwd: at.tree });
  const without = await runScript(at.store, ['latest', at.target]);
  t.is(without.code, 1, without.output);
  // Of what zstd and tar say to nothing there is no word.
  t.regex(without.output, /^restore\.sh: the secret key of \S+\.tar\.zst\.gpg is not here: .* Nothing is damaged$/m); // prettier-ignore
  t.notRegex(without.output, /^damaged/m);
  rmSync(at.target, { recursive: true, force: true });
  const { code, output } = await runScript(at.store, ['latest', at.target], { env: key.env });
  t.is(code, 0, output);
  sameTree(t, readTree(at.tree), readTree(at.target));
});

test("a command of one's own undoes an extension that restore.sh does not know", async (t) => {
  const at = await saved(t, 'tr a-z n-za-m', '.rot');
  const without = await runScript(at.store, ['latest', at.target]);
  t.is(without.code, 1);
  t.regex(without.output, /nothing is known that undoes \.rot: name a command for it in LBS_UNFILTER$/m); // prettier-ignore
  t.deepEqual(readdirSync(at.target), []);
  const env = { LBS_UNFILTER: 'tr n-za-m a-z' };
  const { code, output } = await runScript(at.store, ['latest', at.target], { env });
  t.is(code, 0, output);
  sameTree(t, readTree(at.tree), readTree(at.target));
});

test('restore.sh names a program that is missing before it makes anything', async (t) => {
  const root = rescueRoot(t, 'gnu', ['gzip']);
  if (root === undefined) return;
  const at = await saved(t, 'gzip -c', '.gz');
  // The metadata can be read here, and only one other segment cannot.
  const isData = (file: string) => readFileSync(join(at.store, file)).length > 100_000;
  const large = segmentFiles(at.store).find((file) => isData(file)) ?? '';
  renameSync(join(at.store, large), join(at.store, large.replace(/gz$/, 'zst')));
  putInto(root, at.store, 'store');
  const { code, output } = root.run(['/bin/sh', '/store/restore.sh', 'latest', '/target']);
  t.is(code, 1, output);
  t.regex(output, /this store needs the program zstd, for files \*\.tar\.zst: install it$/m);
  t.deepEqual(readdirSync(join(root.dir, 'target')), []);
});

test('restore.sh says so when the secret key of a store is not there', async (t) => {
  const root = rescueRoot(t, 'gnu', ['gpg', 'gpg-agent', 'gpgconf']);
  if (root === undefined) return;
  putInto(root, join(import.meta.dirname, '../fixtures/stores/gpg-encrypted/store'), 'store');
  putInto(root, join(import.meta.dirname, '../../recovery'), 'recovery');
  const args = ['-c', 'LBS_STORE=/store exec sh /recovery/restore.sh latest /target'];
  t.teardown(() => root.run(['/bin/gpgconf', '--kill', 'all']));
  const { code, output } = root.run(['/bin/sh', ...args]);
  t.is(code, 1, output);
  t.regex(output, /^restore\.sh: the secret key of \S+ is not here: import it, or run this where it is\. Nothing is damaged$/m); // prettier-ignore
});
