/**
 * A client that may only add: a store in a directory with the sticky bit, whose files belong to
 * somebody else as soon as they are there. The client encrypts to a key whose secret part is
 * elsewhere; a janitor without any secret key looks after the store.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { parseDescriptor } from '../../src/format/descriptor.ts';
import { JANITOR, takeOver } from '../helpers/add-only.ts';
import { gpgHome } from '../helpers/gpg-home.ts';
import { sha256 } from '../helpers/hand-made-store.ts';
import { giveToOrdinaryUser, places, restored } from '../helpers/places.ts';
import { lbsOk, ordinaryUserCanRun } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { filesEndingIn, snapshotNames, storeState } from '../helpers/store-state.ts';
import { isRoot, ORDINARY_USER } from '../helpers/temp-dir.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

const asUser = (uid: number) => [
  'setpriv',
  `--reuid=${uid}`,
  `--regid=${uid}`,
  '--clear-groups',
  '--',
];

/** The client reads, changes and removes nothing of what is there. */
function isOutOfReach(t: ExecutionContext, store: string): void {
  const before = storeState(store);
  for (const name of readdirSync(store)) {
    for (const script of ['cat "$0"', 'echo x >>"$0"', 'rm -f "$0"', 'mv "$0" "$0.x"', ': >"$0"']) {
      const words = [...asUser(ORDINARY_USER), '/bin/sh', '-c', script, join(store, name)];
      const isRead = script.startsWith('cat') && /^(?:gc|forgotten)-/.test(name);
      const { status } = spawnSync(words[0] ?? '', words.slice(1), { stdio: 'ignore' });
      t.is(status === 0, isRead, `${script} ${name}`);
    }
  }
  t.deepEqual(storeState(store), before);
}

test('a client that can only add files makes backups, and a janitor without keys cleans up', async (t) => {
  if (!ordinaryUserCanRun(t) || !isRoot) return t.pass('left out: needs root and other users');
  const at = places(t);
  const [reader, signer] = [gpgHome(t), gpgHome(t)];
  const [client, janitor] = [join(at.base, 'client'), join(at.base, 'janitor')];
  for (const dir of [client, janitor, join(client, 'gnupg'), join(client, 'db')]) {
    mkdirSync(dir, { mode: 0o700 });
  }
  copyFileSync(reader.publicKey, join(client, 'encrypt'));
  copyFileSync(signer.secretKey, join(client, 'sign'));
  copyFileSync(signer.publicKey, join(janitor, 'keys'));
  chownSync(janitor, JANITOR, JANITOR);
  chownSync(join(janitor, 'keys'), JANITOR, JANITOR);
  giveToOrdinaryUser(client);
  chownSync(at.store, JANITOR, JANITOR);
  chmodSync(at.store, 0o1777);
  const save = async (file: string, env: Record<string, string> = {}) => {
    makeFiles(at.tree, { [file]: `this is ${file}` });
    const run = await lbsOk(
      t,
      [
        `--dest=${at.store}`,
        `--localdb=${join(client, 'db')}`,
        `--encrypt-to=${join(client, 'encrypt')}`,
        `--sign-key=${join(client, 'sign')}`,
        at.tree,
      ],
      { user: 'ordinary', env: { GNUPGHOME: join(client, 'gnupg'), ...env } },
    );
    takeOver(at.store);
    return run.stderr;
  };
  const key = `--verify-key=${join(janitor, 'keys')}`;
  const look = async (command: string, ...args: string[]) =>
    await lbsOk(t, [command, `--store=${at.store}`, key, ...args], {
      through: asUser(JANITOR),
      env: { TMPDIR: janitor, HOME: janitor },
    });

  const said = await save('first');
  t.regex(said, /^lbs: cannot prove that segments are readable: the secret key is not on/);
  t.is(said.trim().split('\n').length, 1);
  isOutOfReach(t, at.store);
  t.is(await save('second'), said, 'nothing else is said, and nothing is missed');
  const [first = '', second = ''] = snapshotNames(at.store);
  const file = (name: string) => readFileSync(join(at.store, `snapshot-${name}.lbs`));
  const chain = parseDescriptor(file(second).toString('latin1')).previous;
  t.deepEqual(chain, { name: first, sha256: sha256(file(first)) }, 'remembered, not read');
  t.is(filesEndingIn(at.store, '.sh').length, 1, 'restore.sh is not written again');

  // From here on it is taken over: it adds a snapshot of next year.
  const future = String(Math.floor(Date.now() / 1000) + 400 * 86400);
  await save('forged', { LBS_TEST_CLOCK_S: future });
  const forged = snapshotNames(at.store).at(-1) ?? '';
  const verified = await look('verify');
  t.is(verified.stderr, '');
  const forgot = await look('forget', '--keep-last=1');
  t.regex(forgot.stdout, new RegExp(`forget +${first}`));
  t.regex(forgot.stdout, new RegExp(`keep +${second} .*last 1`));
  t.regex(forgot.stdout, new RegExp(`keep +${forged} +(?!.*last 1)`));
  await look('forget', forged);
  await look('gc', '--grace=0h');
  t.deepEqual(snapshotNames(at.store), [second]);
  await look('verify');
  // The note of the janitor is believed; what was collected is stored anew.
  const third = await save('third');
  t.true(third.endsWith(said) && !third.includes('tampered'), third);
  isOutOfReach(t, at.store);
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target], {
    env: { ...reader.env },
  });
  sameTree(t, readTree(at.tree), readTree(restored(at.target, at.tree)));
});
