/**
 * One line in the configuration, `verify-key`, and no command uses a descriptor that is not signed by
 * one of those keys: a table of all commands that read any.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { withoutArmor } from '../../src/format/descriptor.ts';
import { signWithKey } from '../../src/snapshots/signature.ts';
import { gpgHome, type GpgHome } from '../helpers/gpg-home.ts';
import { backupOptions, places, type Places } from '../helpers/places.ts';
import { lbs, lbsExits, lbsOk } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { segmentFiles, snapshotNames, storeState } from '../helpers/store-state.ts';

/** In names and contents of the snapshot that is not to be believed. */
const CANARY = 'canary-4711';
const SIGNATURE = /-----BEGIN PGP SIGNATURE[^]*/;

type Setting = Places & { readonly config: string; readonly copy: string; readonly bad: string };

/** Ways to put a descriptor there that nobody has signed for its name. */
const FORGERIES: Readonly<
  Record<string, (good: string, older: string, other: GpgHome) => Promise<string> | string>
> = {
  'is not signed': (good) => `${withoutArmor(good)}\n`,
  'is not what was signed': (good) => good.replace(/^Host: /m, 'Host: x'),
  'is signed by another key': async (good, _, other) =>
    String(await signWithKey(Buffer.from(withoutArmor(good)), other.secretKey)),
  'has the signature of another': (good, older) =>
    good.replace(SIGNATURE, SIGNATURE.exec(older)?.[0] ?? ''),
  'has text behind its signature': (good) => `${good}\nHost: x\n`,
  'is that of another snapshot': (_, older) => older,
};

/** Commands, what they exit with, and what they may leave behind in the store. */
const COMMANDS: readonly (readonly [words: (at: Setting) => string[], code: number])[] = [
  [() => ['list'], 12],
  [() => ['ls', '-R', 'latest'], 12],
  [() => ['cat', 'latest', `${CANARY}-file`], 12],
  [() => ['stanza', 'latest', `${CANARY}-file`], 12],
  [() => ['dump', 'latest'], 12],
  [() => ['diff', 'latest~1', 'latest'], 12],
  [({ tree }) => ['compare', 'latest', tree], 12],
  [() => ['find', `${CANARY}*`], 12],
  [() => ['history', `${CANARY}-file`], 12],
  [({ target }) => ['restore', 'latest', target], 12],
  [() => ['verify'], 12],
  [() => ['usage'], 12],
  [({ copy }) => ['heal', `--from=${copy}`], 12],
  [() => ['gc', '--grace=0h'], 12],
  [() => ['prune', '--grace=0h', '--keep-last=2'], 12],
  // Here it is left out, with the reason; rules leave it alone, and it pushes nothing out.
  [({ base }) => ['rebuild', `--localdb=${join(base, 'rebuilt')}`], 3],
  [() => ['forget', '--keep-last=1'], 0],
];

async function setting(t: ExecutionContext): Promise<Setting & { key: GpgHome }> {
  const key = gpgHome(t);
  const at = places(t);
  const save = [...backupOptions(at), `--sign-key=${key.secretKey}`, '.'];
  makeFiles(at.tree, { good: 'good' });
  await lbsOk(t, save, { cwd: at.tree });
  makeFiles(at.tree, { [`${CANARY}-file`]: `content of ${CANARY}` });
  await lbsOk(t, save, { cwd: at.tree });
  const config = join(at.base, 'config');
  writeFileSync(config, `store = ${at.store}\nverify-key = ${key.publicKey}\n`, { mode: 0o600 });
  const copy = join(at.base, 'copy');
  cpSync(at.store, copy, { recursive: true });
  return { ...at, key, config, copy, bad: snapshotNames(at.store)[1] ?? '' };
}

test('no command uses a descriptor that is not signed by a key of the configuration', async (t) => {
  const at = await setting(t);
  const other = gpgHome(t);
  const [older = '', bad = ''] = snapshotNames(at.store);
  const file = (store: string, name: string) => join(store, `snapshot-${name}.lbs`);
  const good = readFileSync(file(at.store, bad), 'utf8');
  const old = readFileSync(file(at.store, older), 'utf8');
  const config = `--config=${at.config}`;
  const kinds = Object.entries(FORGERIES);
  for (const [number, [words, code]] of COMMANDS.entries()) {
    const [kind, forge] = kinds[number % kinds.length] ?? ['', () => ''];
    const forged = await forge(good, old, other);
    for (const store of [at.store, at.copy]) writeFileSync(file(store, bad), forged);
    const before = storeState(at.store);
    const [command = '', ...rest] = words(at);
    const run = await lbs(t, [command, config, ...rest], { cwd: at.base });
    const said = `${command}, ${kind}: ${run.stdout}${run.stderr}`;
    t.is(run.code, code, said);
    t.regex(said, /sign/);
    // A path that was asked for may be repeated in a message.
    t.false(run.stdout.includes(CANARY) && command !== 'history', said);
    t.deepEqual(storeState(at.store), before, said);
    t.throws(() => readFileSync(join(at.target, `${CANARY}-file`)));
  }
  // With the same configuration all is well again when the descriptor is.
  writeFileSync(file(at.store, bad), good);
  await lbsOk(t, ['verify', config]);
});

test('what is copied is believed on both sides', async (t) => {
  const at = await setting(t);
  const file = (store: string) => join(store, `snapshot-${at.bad}.lbs`);
  const good = readFileSync(file(at.store), 'utf8');
  const key = `--verify-key=${at.key.publicKey}`;
  const empty = join(at.base, 'empty');
  mkdirSync(empty);
  writeFileSync(file(at.store), `${withoutArmor(good)}\n`);
  const from = await lbsExits(t, 12, ['sync', key, at.store, empty]);
  t.regex(from.stderr, /not signed/);
  t.deepEqual(snapshotNames(empty), []);
  // One of the destination that is not believed vouches for no segment there.
  for (const name of snapshotNames(at.copy)) {
    const signed = join(at.copy, `snapshot-${name}.lbs`);
    const text = readFileSync(signed, 'utf8');
    writeFileSync(join(at.copy, `snapshot-x-${name}.lbs`), `${withoutArmor(text)}\n`);
    rmSync(signed);
  }
  const [segment = ''] = segmentFiles(at.copy);
  const bytes = readFileSync(join(at.copy, segment));
  writeFileSync(
    join(at.copy, segment),
    bytes.map((byte, n) => (n === bytes.length - 9 ? ~byte : byte)),
  );
  writeFileSync(file(at.store), good);
  await lbsOk(t, ['sync', key, at.store, at.copy]);
  t.true(readFileSync(join(at.copy, segment)).equals(bytes));
});

test('a machine that believes only what is signed publishes nothing else', async (t) => {
  const at = await setting(t);
  const other = gpgHome(t);
  const before = storeState(at.store);
  const save = [`--config=${at.config}`, `--localdb=${at.localdb}`];
  const unsigned = await lbsExits(t, 12, [...save, at.tree]);
  t.regex(unsigned.stderr, /believes only signed.*\n.*--sign-key/);
  const wrong = await lbsExits(t, 12, [...save, `--sign-key=${other.secretKey}`, at.tree]);
  t.regex(wrong.stderr, /no good signature/);
  t.deepEqual(storeState(at.store), before);
  const cheat = await lbsExits(t, 12, [...save, '--signature-filter=cat', at.tree]);
  t.regex(cheat.stderr, /not signed/);
  t.is(snapshotNames(at.store).length, 2);
  await lbsOk(t, [...save, `--sign-key=${at.key.secretKey}`, at.tree]);
});
