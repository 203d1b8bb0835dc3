/** The example of UPLOAD SCRIPTS in lbs-backup(1), run as it is printed there. */
import { chmodSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { places, restored } from '../helpers/places.ts';
import { PROJECT, lbsExits, lbsOk, restoreOk } from '../helpers/run-lbs.ts';
import { makeSmallTree } from '../helpers/small-tree.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

/** The script and the commands of the example, as a reader of the page sees them. */
function example(): string[] {
  const page = readFileSync(join(PROJECT, 'man', 'lbs-backup.1'), 'utf8');
  const section = /^\.Sh UPLOAD SCRIPTS\n([^]*?)^\.Sh /m.exec(page)?.[1] ?? '';
  const text = /^\.Ss Example\n([^]*)/m.exec(section)?.[1] ?? '';
  return [...text.matchAll(/^\.Bd .*\n([^]*?)^\.Ed$/gm)].map((found) => found[1] ?? '');
}

test('the upload script of lbs-backup(1) fills a store', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  const [script = '', commands = ''] = example();
  const file = join(at.base, 'to-disk');
  writeFileSync(file, script);
  chmodSync(file, 0o755);
  const option = /--upload-script='([^']*)'/.exec(commands)?.[1] ?? '';
  t.is(option, 'to-disk /mnt/backup');
  const upload = `--upload-script=${at.base}/${option.replace('/mnt/backup', at.store)}`;
  const args = [upload, `--localdb=${at.localdb}`, at.tree];
  await lbsOk(t, args);
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
  await restoreOk(t, [`--store=${at.store}`, 'latest', at.target]);
  sameTree(t, readTree(at.tree), readTree(restored(at.target, at.tree)));
  const parts = readdirSync(at.store).filter((name) => name.includes('.part'));
  t.deepEqual(parts, []);

  // What it cannot do it says, and nothing is made of it.
  const odd = join(at.base, 'a b');
  mkdirSync(odd);
  const other = [upload, `--localdb=${at.base}/other`, `--tmpdir=${odd}`, at.tree];
  t.regex((await lbsExits(t, 1, other)).stderr, /^cannot read .*a%20b/m);
});
