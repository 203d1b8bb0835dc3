/**
 * A client that may only add, by an upload script: through the sftp-server of OpenSSH with the requests
 * and the script that lbs-append-only(7) prints, and through one that does no more than to put.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { JANITOR, takeOver } from '../helpers/add-only.ts';
import {
  clockAhead,
  giveToOrdinaryUser,
  type Places,
  places,
  restored,
} from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { lbsExits, lbsOk, ordinaryUserCanRun, PROJECT, restoreOk } from '../helpers/run-lbs.ts';
import { makeFiles, makeSmallTree } from '../helpers/small-tree.ts';
import { segmentFiles, snapshotNames, storeState } from '../helpers/store-state.ts';
import { isRoot, ORDINARY_USER } from '../helpers/temp-dir.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

const SERVER = [
  process.env['LBS_TEST_SFTP_SERVER'] ?? '',
  '/usr/lib/openssh/sftp-server',
  '/usr/libexec/openssh/sftp-server',
  '/usr/lib/ssh/sftp-server',
].find((file) => file !== '' && existsSync(file));
const CLIENT = ['/usr/bin/sftp'].find((file) => existsSync(file));
const asClient = [`--reuid=${ORDINARY_USER}`, `--regid=${ORDINARY_USER}`, '--clear-groups', '--'];

type Adding = Places & { readonly client: string; readonly bin: string };

/** A store that the client may add to, and a directory of programs of its own. */
function addingPlaces(t: ExecutionContext): Adding {
  const at = places(t);
  const [client, bin] = [join(at.base, 'client'), join(at.base, 'bin')];
  for (const dir of [client, bin]) mkdirSync(dir);
  giveToOrdinaryUser(client);
  chownSync(at.store, JANITOR, JANITOR);
  chmodSync(at.store, 0o1733);
  return { ...at, client, bin };
}

function program(at: Adding, name: string, text: string): string {
  const file = join(at.bin, name);
  writeFileSync(file, text);
  chmodSync(file, 0o755);
  return file;
}

/** The blocks of the chapter: what the server is told, the script, and how it is used. */
function chapter(): string[] {
  const page = readFileSync(join(PROJECT, 'man', 'lbs-append-only.7'), 'utf8');
  const text = /^\.Sh BY SFTP\n([^]*?)^\.Sh /m.exec(page)?.[1] ?? '';
  return [...text.matchAll(/^\.Bd .*\n([^]*?)^\.Ed$/gm)].map((found) => found[1] ?? '');
}

type SaveOptions = { localdb?: string; more?: string[]; env?: Record<string, string> };

/**
 * A new local database does not know the names that are taken, and finds one that is free by the
 * clock: not so in a test that takes less than a second.
 */
const newLocaldb = (): SaveOptions => ({ localdb: 'new', env: clockAhead(60) });

/** One backup of the client; the janitor takes over what has come. */
async function save(
  t: ExecutionContext,
  at: Adding,
  script: string,
  { localdb = 'db', more = [], env = {} }: SaveOptions = {},
) {
  const where = [`--upload-script=${script}`, `--localdb=${join(at.client, localdb)}`];
  const words = [...where, ...more, at.tree];
  const PATH = `${at.bin}:${process.env['PATH']}`;
  const run = await lbsOk(t, words, { user: 'ordinary', env: { PATH, TMPDIR: at.client, ...env } });
  takeOver(at.store);
  return run;
}

async function isRestored(t: ExecutionContext, at: Adding): Promise<void> {
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
  const target = join(at.base, `back-${snapshotNames(at.store).length}`);
  await restoreOk(t, [`--store=${at.store}`, 'latest', target]);
  sameTree(t, readTree(at.tree), readTree(restored(target, at.tree)));
}

/** What the client is refused; `mine` is a file that the janitor has not taken over yet. */
function isRefused(t: ExecutionContext, at: Adding, mine: string): void {
  const before = storeState(at.store);
  const name = join(at.store, segmentFiles(at.store)[0] ?? '');
  const own = join(at.client, 'own');
  const refused = [
    ...[`get ${name} ${own}`, `get ${mine} ${own}`, `ls ${at.store}`, `rm ${name}`, `rm ${mine}`],
    ...[`put ${own} ${name}`, `rename ${mine} ${name}`, `rename ${name} ${name}.x`],
    ...[`ln ${name} ${mine}.x`, `ln -s / ${mine}.x`, `mkdir ${mine}.x`, `chmod 666 ${name}`],
  ];
  for (const line of refused) {
    const { status } = spawnSync('setpriv', [...asClient, join(at.bin, 'sftp'), '-b', '-', 'x'], {
      input: `${line}\n`,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    t.not(status, 0, line);
  }
  t.deepEqual(storeState(at.store), before);
}

test('the requests and the script of the manual add snapshots, and can do nothing else', async (t) => {
  if (!ordinaryUserCanRun(t) || !isRoot) return t.pass('left out: needs root and other users');
  if (SERVER === undefined || CLIENT === undefined) return t.pass('left out: no sftp here');
  const at = addingPlaces(t);
  makeSmallTree(at.tree);
  const [config = '', text = '', use = ''] = chapter();
  const options = /internal-sftp (.*)/.exec(config)?.[1] ?? '';
  const server = program(at, 'server', `#!/bin/sh\nexec ${SERVER} ${options}\n`);
  // In place of the way to the other machine.
  program(at, 'sftp', `#!/bin/sh\nexec ${CLIENT} -q -b - -D ${server}\n`);
  const script = program(at, 'sftp-add', text);
  t.regex(use, /^upload-script = sftp-add \S+ \/store$/m);
  const upload = `${script} client@backup.example.org ${at.store}`;
  await save(t, at, upload);
  await isRestored(t, at);
  const stored = segmentFiles(at.store).length;
  makeFiles(at.tree, { more: 'of the second snapshot' });
  await save(t, at, upload);
  t.is(segmentFiles(at.store).length, stored + 2, 'only what is new');
  await isRestored(t, at);
  t.deepEqual(
    readdirSync(at.store).filter((name) => name.startsWith('.')),
    [],
  );
  // What is there already, such as restore.sh, is no trouble for a new local database.
  const again = newLocaldb();
  await save(t, at, upload, again);
  await isRestored(t, at);
  // A snapshot of that second is: it is neither replaced nor taken for this one.
  const before = storeState(at.store);
  const words = [`--upload-script=${upload}`, `--localdb=${join(at.client, 'third')}`, at.tree];
  const PATH = `${at.bin}:${process.env['PATH']}`;
  const env = { ...again.env, PATH, TMPDIR: at.client };
  const late = await lbsExits(t, 1, words, { user: 'ordinary', env });
  t.regex(late.stderr, /the upload script "\S+ \.\.\." exited with 1 /);
  for (const [file, state] of before) t.deepEqual(storeState(at.store).get(file), state, file);
  t.deepEqual(snapshotNames(at.store).length, 3);
  takeOver(at.store);
  writeFileSync(join(at.client, 'own'), 'of the client');
  const mine = join(at.store, 'mine');
  writeFileSync(mine, 'just added');
  chownSync(mine, ORDINARY_USER, ORDINARY_USER);
  isRefused(t, at, mine);
});

test('what the janitor collects from a client that only puts is missed, named, and mended', async (t) => {
  if (!ordinaryUserCanRun(t) || !isRoot) return t.pass('left out: needs root and other users');
  const at = addingPlaces(t);
  // As a server that takes a whole file under a new name, or says that the name is taken.
  const script = program(
    at,
    'put-only',
    `#!/bin/sh
cd ${at.store} || exit 1
while read -r put type name file; do
  cat "$file" >".lbs-tmp-$name" && { ln ".lbs-tmp-$name" "$name"; rm ".lbs-tmp-$name"; } 2>/dev/null
  [ -e "$name" ] || exit 1
  echo OK
done
`,
  );
  const [old, other] = [pseudoRandom('old', 50_000), pseudoRandom('other', 50_000)];
  makeFiles(at.tree, { content: old });
  await save(t, at, script);
  makeFiles(at.tree, { content: other });
  await save(t, at, script, { more: ['--full-metadata'] });
  await isRestored(t, at);
  const where = `--store=${at.store}`;
  await lbsOk(t, ['forget', where, snapshotNames(at.store)[0] ?? '']);
  await lbsOk(t, ['gc', where, '--grace=0h']);
  await isRestored(t, at);
  // The local database of the client still offers what was collected.
  makeFiles(at.tree, { content: old });
  await save(t, at, script);
  const lacking = snapshotNames(at.store).at(-1) ?? '';
  for (const command of ['gc', 'verify']) {
    const run = await lbsExits(t, 4, [command, where]);
    t.regex(run.stderr + run.stdout, /damaged: .*(needs a segment|missing)/);
  }
  await save(t, at, script, newLocaldb());
  await lbsOk(t, ['verify', where, '--data', snapshotNames(at.store).at(-1) ?? '']);
  await lbsOk(t, ['forget', where, lacking]);
  await isRestored(t, at);
});
