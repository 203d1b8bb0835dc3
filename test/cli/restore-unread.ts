/** `--delete` and what the backup could not read: it is in no snapshot, so it is never deleted. */
import { chmodSync, existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { backupOptions, giveToOrdinaryUser, places } from '../helpers/places.ts';
import { lbsExits, lbsOk, ordinaryUserCanRun } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';

test('--delete keeps what could not be read when the snapshot was made', async (t) => {
  if (!ordinaryUserCanRun(t)) return;
  const at = places(t, 'ordinary');
  makeFiles(at.tree, { 'a b/secret': '1', 'a b/open': '2', 'closed/d/file': '3', other: '4' });
  giveToOrdinaryUser(at.tree);
  chmodSync(join(at.tree, 'a b/secret'), 0);
  chmodSync(join(at.tree, 'closed'), 0);
  const options = { cwd: at.tree, user: 'ordinary' } as const;
  await lbsExits(t, 3, [...backupOptions(at), '.'], options);
  // Whoever restores may read all of it.
  chmodSync(join(at.tree, 'a b/secret'), 0o600);
  chmodSync(join(at.tree, 'closed'), 0o700);
  makeFiles(at.tree, { 'a b/new': '5', 'd/new': '6' });
  giveToOrdinaryUser(at.tree);
  const words = ['restore', `--store=${at.store}`, '--delete', 'latest', at.tree];
  const { stderr } = await lbsOk(t, words, options);
  t.regex(stderr, /^lbs: what is at a b\/secret is kept: it could not be read when/m);
  t.regex(stderr, /^lbs: what is at closed is kept: /m);
  chmodSync(join(at.tree, 'closed'), 0o700);
  t.is(readFileSync(join(at.tree, 'a b/secret'), 'utf8'), '1');
  t.is(readFileSync(join(at.tree, 'closed/d/file'), 'utf8'), '3');
  t.deepEqual(readdirSync(at.tree).sort(), ['a b', 'closed', 'other']);
  t.false(existsSync(join(at.tree, 'a b/new')));
  // One of an earlier release, which did not say what it lacked.
  const [name = ''] = readdirSync(at.store).filter((file) => file.endsWith('.lbs'));
  const descriptor = join(at.store, name);
  const text = readFileSync(descriptor, 'utf8');
  t.regex(text, /^Unread: a%20b\/secret closed$/m);
  const earlier = text.replace(/^(?:Unread|Descriptor_sha256): .*\n/gm, '');
  makeFiles(at.tree, { extra: '7' });
  // Nor does one that was made again of what was left.
  const repaired = earlier
    .replace(/^Stored: .*\n/m, '')
    .replace(/^Warnings: .*$/m, 'Repaired: yes');
  for (const silent of [earlier, repaired]) {
    writeFileSync(descriptor, silent);
    const run = await lbsOk(t, words);
    t.true(existsSync(join(at.tree, 'extra')));
    t.regex(run.stderr, /nothing is deleted: the snapshot may lack what could not be read/);
  }
});
