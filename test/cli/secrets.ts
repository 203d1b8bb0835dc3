/**
 * Passphrases, secret keys and what stands in commands are nowhere but where they must be. See
 * SECURITY.md, "Secrets".
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { PASSPHRASE_VARIABLES } from '../../src/std/secret.ts';
import { Canary, filesWith, spying, startedIn, writtenIn } from '../helpers/canary.ts';
import { gpg, gpgHome } from '../helpers/gpg-home.ts';
import {
  backupOptions,
  clockAhead,
  giveToOrdinaryUser,
  type Places,
  places,
} from '../helpers/places.ts';
import {
  PROJECT,
  type Run,
  type RunOptions,
  homeOf,
  lbs,
  lbsExits,
  lbsOk,
  ordinaryUserCanRun,
} from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { segmentFiles } from '../helpers/store-state.ts';
import { canTrace } from '../helpers/strace.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const SECRET = 'cAnaRy0fAPassphrase6281';
const IN_COMMAND = 'cAnaRy0fAC0mmand3519';
const IN_ENVIRONMENT = 'cAnaRy0fAFi1ter7740';

/** A filter and its reverse that are programs, as the runtime does the work of known ones itself. */
const FILTER = [
  '--filter=tee /dev/null',
  '--filter-extension=.same',
  '--unfilter=.same=tee /dev/null',
];

function savedPlaces(t: ExecutionContext): Places {
  const at = places(t);
  makeFiles(at.tree, { one: 'one\n', two: 'two\n' });
  return at;
}

/** Directories in which a run may have left something. */
function around(t: ExecutionContext, at: Places): string[] {
  return [at.store, at.localdb, homeOf(t)];
}

function saysNothing(t: ExecutionContext, canaries: readonly Canary[], run: Run): void {
  for (const canary of canaries) t.false(canary.isIn(run.stdout + run.stderr), canary.name);
}

/** Variables that lead to passphrases: the first is `SECRET`, all have a word of their own in them. */
function allVariables(): { env: Record<string, string>; canaries: Canary[] } {
  const env = Object.fromEntries(
    PASSPHRASE_VARIABLES.map((name, at) => [name, at === 0 ? SECRET : `cAnaRyNumber${at}0fMany`]),
  );
  return { env, canaries: Object.entries(env).map(([name, value]) => new Canary(name, value)) };
}

/** One run under strace. `giving` is how a command gives the passphrase: only its own processes may write it. */
async function watched(
  t: ExecutionContext,
  at: Places,
  args: readonly string[],
  options: RunOptions & { canaries: readonly Canary[]; giving?: string },
): Promise<Run> {
  const { canaries, giving } = options;
  const log = join(tempDir(t), 'log');
  const run = await lbsOk(t, args, { ...options, through: spying(log) });
  saysNothing(t, canaries, run);
  const started = startedIn(log);
  const isOurs = ({ argv }: (typeof started)[number]) =>
    argv.includes(join(PROJECT, 'bin', 'lbs')) || argv.some((word) => word.endsWith('/lbs.js'));
  t.is(started.filter(isOurs).length, 2, 'bin/lbs and Node');
  t.true(started.length > 2, 'something else was started');
  for (const { argv, env } of started.filter((one) => !isOurs(one))) {
    for (const name of PASSPHRASE_VARIABLES)
      t.false(
        env.some((variable) => variable.startsWith(`${name}=`)),
        `${argv[0]} has ${name}`,
      );
  }
  for (const one of started)
    for (const canary of canaries) t.false(canary.isIn(one.argv.join(' ')), `argv: ${canary.name}`);
  const givers = new Set(
    started.filter(({ argv }) => argv.join(' ') === giving).map(({ pid }) => pid),
  );
  t.is(givers.size > 0, giving !== undefined);
  for (const { pid, line } of writtenIn(log))
    if (!givers.has(pid))
      for (const canary of canaries) t.false(canary.isIn(line), line.slice(0, 200));
  t.deepEqual(filesWith(canaries, around(t, at)), []);
  return run;
}

test('a passphrase is in no other program, file or output, whatever uses it', async (t) => {
  if (!canTrace) return t.pass('left out: no tracing here');
  const at = savedPlaces(t);
  const key = gpgHome(t, SECRET);
  const sign = `--sign-key=${key.secretKey}`;
  const file = join(tempDir(t), 'passphrase');
  writeFileSync(file, `${SECRET}\n`, { mode: 0o600 });
  const all = allVariables();
  const one = { canaries: all.canaries.slice(0, 1) };
  const backup = [...backupOptions(at), ...FILTER, sign, '-v', at.tree];
  await watched(t, at, backup, all);
  const env = { LBS_SIGN_PASSPHRASE_COMMAND: `cat ${file}`, ...clockAhead(86400) };
  makeFiles(at.tree, { three: 'three\n' });
  await watched(t, at, ['backup', '--json', ...backup], { ...one, env, giving: `cat ${file}` });
  const store = [`--store=${at.store}`, `--localdb=${at.localdb}`];
  const forget = ['forget', ...store, sign, '--keep-last=1'];
  await watched(t, at, forget, {
    ...one,
    env: { LBS_SIGN_PASSPHRASE_FILE: file, ...clockAhead(2 * 86400) },
  });
  t.is(readdirSync(at.store).filter((name) => name.endsWith('.lbs')).length, 1);
  // These need no passphrase, and may be started with one all the same.
  await watched(t, at, ['verify', `--store=${at.store}`, '--data', '--unfilter=.same=cat -'], all);
  const upload = join(PROJECT, 'test', 'fixtures', 'uploads', 'by-lines');
  const other = { ...at, localdb: join(at.base, 'other'), store: join(at.base, 'uploaded') };
  mkdirSync(other.store);
  const script = [`--upload-script=${upload} ${other.store} flat`, `--localdb=${other.localdb}`];
  await watched(t, other, [...script, sign, at.tree], all);
});

test('bytes of a secret key are in no file and no output', async (t) => {
  if (!canTrace) return t.pass('left out: no tracing here');
  const at = savedPlaces(t);
  const key = gpgHome(t);
  const binary = gpg(key, ['--export-secret-keys', key.user]).stdout;
  // The secret number of an ed25519 key ends two bytes before the end of its packet, with its checksum.
  const end = 2 + (binary[1] ?? 0) - 2;
  const secret = new Canary('secret key', binary.subarray(end - 24, end));
  t.true(
    secret.isIn(readFileSync(key.secretKey, 'latin1').replaceAll('\n', '')),
    'it is in the key',
  );
  const args = [...backupOptions(at), ...FILTER, `--sign-key=${key.secretKey}`, at.tree];
  await watched(t, at, args, { canaries: [secret] });
});

test('no error tells a passphrase, or what stands in a file of keys', async (t) => {
  const at = savedPlaces(t);
  const key = gpgHome(t, 'another one');
  const wrong = new Canary('wrong passphrase', SECRET);
  const armored = readFileSync(key.secretKey, 'latin1').split('\n');
  // Where the empty line after its head comes later, the lines before it are read as if they were headers.
  const broken = join(key.dir, 'broken.asc');
  writeFileSync(
    broken,
    [...armored.slice(0, 1), ...armored.slice(2, 6), '', ...armored.slice(6)].join('\n'),
  );
  const keyLines = armored
    .filter((line) => line.length === 64)
    .map((line) => new Canary('secret key', line));
  t.true(keyLines.length > 3);
  const several = join(tempDir(t), 'several');
  writeFileSync(several, `not this\n${SECRET}\n`);
  // The runtime and libraries as talkative as they can be.
  const talkative = { NODE_ENV: 'development', NODE_DEBUG: 'child_process,worker,fs,stream' };
  const failing = async (env: Record<string, string>, file = key.secretKey, ...json: string[]) => {
    const args = [...backupOptions(at), `--sign-key=${file}`, at.tree, ...json];
    const run = await lbsExits(t, 12, args, { env: { ...talkative, ...env } });
    saysNothing(t, [wrong, ...keyLines], run);
  };
  await failing({ LBS_SIGN_PASSPHRASE: SECRET }, key.secretKey, '--json');
  await failing({ LBS_SIGN_PASSPHRASE: SECRET });
  await failing({ LBS_SIGN_PASSPHRASE: SECRET }, join(at.tree, 'one'));
  await failing({ LBS_SIGN_PASSPHRASE: SECRET }, broken);
  await failing({ LBS_SIGN_PASSPHRASE_FILE: several });
  const given = join(tempDir(t), 'given');
  writeFileSync(given, SECRET);
  await failing({ LBS_SIGN_PASSPHRASE_COMMAND: `cat ${given}; exit 3` });
  await failing({ LBS_SIGN_PASSPHRASE_COMMAND: `cat ${given}; kill -TERM $$` });
  t.deepEqual(filesWith([wrong, ...keyLines], around(t, at)), []);
});

/** Ways for a filter to end badly after it was given a secret on its command line. */
const ENDS = ['exit 3', 'kill -KILL $$', 'no-such-program', 'true', '( )'];

test('of a command only its program is shown, however it ends', async (t) => {
  const at = savedPlaces(t);
  const canaries = [
    new Canary('in a command', IN_COMMAND),
    new Canary('in the environment', IN_ENVIRONMENT),
  ];
  const env = { FILTER_TOKEN: IN_ENVIRONMENT };
  let times = 0;
  const told = async (code: number, words: RegExp, args: readonly string[]) => {
    // What a failed run has stored would be used, and the filter not be needed.
    writeFileSync(join(at.tree, 'one'), `${times++}\n`);
    const run = await lbsExits(t, code, args, { env });
    saysNothing(t, canaries, run);
    t.regex(run.stdout + run.stderr, words);
    return run;
  };
  const backup = [...backupOptions(at), '--filter-extension=.same', at.tree];
  for (const end of ENDS) {
    const command = `printenv FILTER_TOKEN ${IN_COMMAND}; ${end}`;
    await told(1, /the filter "printenv \.\.\."/, [
      'backup',
      '--json',
      ...backup,
      `--filter=${command}`,
    ]);
    await told(1, /"printenv \.\.\."/, [
      ...backup,
      '--filter=cat -',
      `--signature-filter=${command}`,
    ]);
  }
  const assigned = `PASSWORD=${IN_COMMAND} false`;
  await told(1, /the filter "\.\.\."/, [...backup, `--filter=${assigned}`]);
  await told(1, /upload script "\.\.\."/, [
    `--upload-script=${assigned}`,
    `--localdb=${join(at.base, 'other')}`,
    at.tree,
  ]);
  await told(2, /"a ..."/, [...backupOptions(at), `--filter=a ${IN_COMMAND} | b`, at.tree]);
  await told(2, /EXT=COMMAND/, [...backup, `--unfilter=gpg --passphrase ${IN_COMMAND}`]);
  const works = [...backup, `--filter=cat - # ${IN_COMMAND}`, `--unfilter=.same=${assigned}`];
  await told(1, /cannot be read back by "\.\.\."/, works);
  const good = `--unfilter=.same=cat - # ${IN_COMMAND}`;
  await told(0, /Snapshot/, [...backup, `--filter=cat - # ${IN_COMMAND}`, good]);
  const store = `--store=${at.store}`;
  await told(0, /all is well/, ['verify', store, '--data', good]);
  await told(4, /reverse filter "\.\.\."/, [
    'restore',
    store,
    'latest',
    at.target,
    `--unfilter=.same=${assigned}`,
  ]);
  const sent = join(at.base, 'sent');
  const takesAll = `--upload-script=while read -r line; do echo OK; done # ${IN_COMMAND}`;
  await told(0, /script \\"while \.\.\./, [
    'backup',
    '--json',
    takesAll,
    `--localdb=${sent}`,
    at.tree,
  ]);
  t.deepEqual(filesWith(canaries, [...around(t, at), join(at.base, 'other'), sent]), []);
});

test('a report of the runtime has nothing of the environment, and no signal opens a debugger', async (t) => {
  const at = savedPlaces(t);
  const { env, canaries } = allVariables();
  const cwd = tempDir(t);
  const { stderr } = await lbsOk(
    t,
    [
      ...backupOptions(at),
      '--filter=kill -USR1 $PPID; kill -USR2 $PPID; sleep 0.5; cat',
      '--filter-extension=',
      at.tree,
    ],
    { env: { ...env, FILTER_TOKEN: IN_ENVIRONMENT, NODE_OPTIONS: '--report-on-signal' }, cwd },
  );
  t.notRegex(stderr, /debugger/i);
  t.regex(readdirSync(cwd).join(), /^report\..*\.json$/);
  t.deepEqual(
    filesWith([...canaries, new Canary('in the environment', IN_ENVIRONMENT)], [cwd]),
    [],
  );
});

test('who has a passphrase leaves no core file, and no other process of the user can look into it', async (t) => {
  if (!ordinaryUserCanRun(t)) return;
  const at = places(t, 'ordinary');
  makeFiles(at.tree, { one: 'one\n' });
  giveToOrdinaryUser(at.tree);
  const look = join(at.base, 'looked');
  const command = `cat /proc/$PPID/environ /proc/$PPID/maps > ${look} 2>&1; cat`;
  const args = [...backupOptions(at), `--filter=${command}`, '--filter-extension=', at.tree];
  const looked = async (env: Record<string, string>) => {
    await lbsOk(t, args, { user: 'ordinary', env });
    writeFileSync(join(at.tree, 'one'), `${Object.keys(env).length}\n`);
    return readFileSync(look, 'latin1');
  };
  t.true((await looked({})).includes('HOME='), 'the test looks at the right place');
  const closed = await looked({ LBS_SIGN_PASSPHRASE: SECRET });
  t.is(closed.match(/Permission denied/g)?.length, 2, closed);
  const cwd = join(at.base, 'cwd');
  mkdirSync(cwd);
  const dies = [
    ...backupOptions(at),
    '--filter=kill -ABRT $PPID; cat',
    '--filter-extension=',
    at.tree,
  ];
  const unlimited = ['sh', '-c', 'ulimit -c unlimited; exec "$@"', 'sh'];
  const run = await lbs(t, dies, { env: { LBS_SIGN_PASSPHRASE: SECRET }, through: unlimited, cwd });
  t.is(run.signal, 'SIGABRT');
  t.deepEqual(readdirSync(cwd), []);
});

test('an ordinary user who has a passphrase can do all the same', async (t) => {
  if (!ordinaryUserCanRun(t)) return;
  const at = places(t, 'ordinary');
  makeFiles(at.tree, { one: 'one\n', two: 'two\n' });
  giveToOrdinaryUser(at.tree);
  const run = async (...args: string[]) => {
    const env = { LBS_SIGN_PASSPHRASE: SECRET };
    await lbsOk(t, args, { user: 'ordinary', env, cwd: at.base });
  };
  const store = `--store=${at.store}`;
  await run(...backupOptions(at), 'tree');
  if (spawnSync('par2', ['--version']).status === 0) {
    await run('parity', store);
    const [segment = ''] = segmentFiles(at.store);
    writeFileSync(join(at.store, segment), 'damage', { flag: 'r+' });
    await run('heal', store);
  }
  await run('verify', store, '--data', `--localdb=${at.localdb}`);
  await run('restore', store, 'latest', at.target);
});

test('the library that reads keys is loaded in one place, where it is kept quiet', (t) => {
  const src = join(PROJECT, 'src');
  const loading = readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .filter((name) =>
      /import\('openpgp'\)|^import \{[^}]*\} from 'openpgp'/m.test(
        readFileSync(join(src, name), 'utf8'),
      ),
    );
  t.deepEqual(loading, [join('std', 'load-openpgp.ts')]);
});
