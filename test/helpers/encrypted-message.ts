/** OpenPGP messages as this program writes them, and keys to read them, without gpg. */
import { closeSync, fstatSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import * as openpgp from 'openpgp';
import { DecryptKey } from '../../src/segments/decrypt-key.ts';
import { MessageEncryptor, type MessageStart } from '../../src/segments/encrypt-segment.ts';
import { openRecipients } from '../../src/segments/recipients.ts';
import { unfilter } from '../../src/segments/unfilter.ts';
import type { OpenFile } from '../../src/stores/store.ts';
import { tempDir } from './temp-dir.ts';

export type KeyFiles = { readonly publicKey: string; readonly secretKey: string };

type KeyWishes = {
  readonly date?: Date;
  readonly keyExpirationTime?: number;
  readonly passphrase?: string;
  readonly subkeys?: { sign?: boolean; keyExpirationTime?: number }[];
};

/** A key that signs and one of its own that encrypts; `options` as the library takes them. */
export async function newKey(
  t: ExecutionContext,
  options: KeyWishes = {},
): Promise<KeyFiles & { readonly key: openpgp.PrivateKey }> {
  const made = await openpgp.generateKey({
    type: 'curve25519',
    userIDs: [{ name: 'lbs test', email: 'lbs-test@example.org' }],
    ...options,
    format: 'object',
  });
  const key = made.privateKey;
  return { ...writeKey(t, key), key };
}

export function writeKey(t: ExecutionContext, key: openpgp.PrivateKey): KeyFiles {
  const dir = tempDir(t);
  const [publicKey, secretKey] = [join(dir, 'public'), join(dir, 'secret')];
  writeFileSync(publicKey, key.toPublic().write());
  writeFileSync(secretKey, key.write());
  return { publicKey, secretKey };
}

/** What a message to the keys in `files` begins with. */
export async function startFor(files: readonly string[]): Promise<MessageStart> {
  const begin = await openRecipients(files);
  if (begin === undefined) throw new Error('no keys');
  return await begin();
}

/** `pieces`, one after the other, as one message. */
export async function encrypted(
  files: readonly string[],
  pieces: readonly Buffer[],
): Promise<Buffer> {
  const message = new MessageEncryptor(await startFor(files));
  return Buffer.concat([...pieces.map((piece) => message.push(piece)), message.end()]);
}

/** An open file of these bytes. */
export function fileOf(t: ExecutionContext, bytes: Buffer): OpenFile {
  const path = join(tempDir(t), 'file');
  writeFileSync(path, bytes);
  const fd = openSync(path, 'r');
  t.teardown(() => closeSync(fd));
  return { fd, sizeBytes: fstatSync(fd).size, close: () => undefined };
}

/** What a `.gpg` file of `bytes` gives with the secret keys in `file`. */
export async function decrypted(
  t: ExecutionContext,
  bytes: Buffer,
  file: string,
  { extension = '.gpg', env = {} }: { extension?: string; env?: Record<string, string> } = {},
): Promise<Buffer> {
  const findSessionKey = new DecryptKey(file, env).find;
  const parts: Buffer[] = [];
  for await (const part of unfilter(fileOf(t, bytes), extension, { findSessionKey })) {
    parts.push(Buffer.from(part));
  }
  return Buffer.concat(parts);
}
