/** What is there before the care of stores is disturbed; as crash-worlds.ts. */
import { truncateSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generateKey } from 'openpgp';
import {
  changedBy,
  type CrashPlaces,
  crashTop,
  derived,
  once,
  saveArgs,
  savedBy,
  threeSaved,
  type World,
} from './crash-worlds.ts';
import { PROJECT } from './run-lbs.ts';
import { segmentFiles } from './store-state.ts';
import { flip } from './two-stores.ts';

const SCRIPT = join(PROJECT, 'test', 'fixtures', 'uploads', 'durable');

/** Options of a backup by an upload script, whose store is a directory. */
export function uploadOptions(protocol: 'stream' | 'call', at: CrashPlaces): string[] {
  const [, ...options] = saveArgs(at);
  return [`--upload-script=${SCRIPT} ${at.store}`, `--upload-protocol=${protocol}`, ...options];
}

export const uploadedBy = (protocol: 'stream' | 'call') =>
  savedBy({ name: protocol, saved: 1, options: (at) => uploadOptions(protocol, at) });

export const withParity = () =>
  changedBy('parity', threeSaved, ({ store }) => ['parity', `--store=${store}`]);

/** One segment is damaged and one is gone, and there is parity of both. */
export const damagedWithParity = () =>
  once('damaged parity', () =>
    derived('damaged-parity', withParity(), ({ store }) => {
      const [one = '', two = ''] = segmentFiles(store);
      flip(join(store, one));
      rmSync(join(store, two));
    }),
  );

/** Snapshots that `unlisted` has damaged. */
export const unlistedNames = ({ snapshots }: World) => [...snapshots.keys()].slice(0, 2);

/** Of the oldest snapshot both lists are damaged, of the second the descriptor; and the database. */
export const unlisted = () =>
  once('unlisted', () =>
    derived('unlisted', threeSaved(), ({ store, localdb }) => {
      const [first = '', second = ''] = unlistedNames(threeSaved());
      flip(join(store, `snapshot-${first}.sha1sums`));
      rmSync(join(store, `snapshot-${first}.sha256sums`));
      truncateSync(join(store, `snapshot-${second}.lbs`), 200);
      const database = join(localdb, 'lbs-localdb.sqlite');
      truncateSync(database, statSync(database).size >> 1);
    }),
  );

export const held = () =>
  changedBy('held', threeSaved, ({ store }) => ['hold', `--store=${store}`, 'latest', 'latest~1']);

export const tagged = () =>
  changedBy('tagged', threeSaved, ({ store }) => ['tag', `--store=${store}`, 'latest', 'good']);

/** Files of a key, in the directory for everything here. */
export const SECRET_KEY = 'secret.asc';
export const PUBLIC_KEY = 'public.asc';
const OWNERS_ALONE = 0o600;

let keys: Promise<void> | undefined;

async function makeKeys(): Promise<void> {
  const { publicKey, privateKey } = await generateKey({
    type: 'curve25519',
    userIDs: [{ name: 'crash' }],
  });
  writeFileSync(join(crashTop(), PUBLIC_KEY), publicKey);
  writeFileSync(join(crashTop(), SECRET_KEY), privateKey, { mode: OWNERS_ALONE });
}

export const signOptions = (at: CrashPlaces) => [
  ...saveArgs(at),
  `--sign-key=${join(crashTop(), SECRET_KEY)}`,
];

/** One snapshot, signed. */
export async function signedOnce(): Promise<World> {
  await (keys ??= makeKeys());
  return savedBy({ name: 'signed', saved: 1, options: signOptions });
}
