/**
 * To whom segments are encrypted: the public keys of `--encrypt-to`, checked before anything is
 * stored, and a fresh session key for each segment, encrypted to all of them.
 *
 * The openpgp library chooses the subkeys, and is loaded on use. No secret key is needed, or used
 * where the file has one.
 */
import { randomBytes } from 'node:crypto';
import type * as OpenPgp from 'openpgp';
import { LbsError, messageOf } from '../errors.ts';
import { showText } from '../std/byte-path.ts';
import { nowSeconds } from '../std/clock.ts';
import { type KeyLibrary, keyLabel, readKeys } from '../std/key-file.ts';
import { loadOpenPgp } from '../std/load-openpgp.ts';
import { shownCommand } from '../std/shown-command.ts';
import type { Filter } from './filter.ts';
import type { MessageStart } from './encrypt-segment.ts';

/** Each costs a few ms and some 100 to 500 bytes in each segment, and readers try no more. */
export const RECIPIENTS_MAX = 64;
const SESSION_KEY_BYTES = 32;
/** Encrypted segments are read back in memory, whole: see decrypt-segment. */
const SEGMENT_BYTES_MAX = 64 * 1024 * 1024;

/** Makes what the message of the next segment begins with. */
export type BeginMessage = () => Promise<MessageStart>;

/**
 * For segments that all keys in `files` can read; undefined when there are no files.
 * @throws {LbsError} encryption-key when one of the keys cannot be encrypted to now
 */
export async function openRecipients(
  files: readonly string[] = [],
): Promise<BeginMessage | undefined> {
  if (files.length === 0) return undefined;
  const library = await loadOpenPgp();
  // One moment for the whole run: a key that expires in the middle of it does not end it.
  const date = new Date(nowSeconds() * 1000);
  const keys = new Map<string, OpenPgp.PublicKey>();
  for (const file of files) {
    for (const key of await usableKeys(library, file, date)) keys.set(key.getFingerprint(), key);
  }
  if (keys.size > RECIPIENTS_MAX) {
    throw new LbsError('encryption-key', `${keys.size} keys to encrypt to are too many`, {
      hint: `give ${RECIPIENTS_MAX} at most`,
    });
  }
  const encryptionKeys = [...keys.values()];
  const begin = async (): Promise<MessageStart> => {
    const sessionKey = randomBytes(SESSION_KEY_BYTES);
    const forRecipients = await library.encryptSessionKey({
      data: sessionKey,
      algorithm: 'aes256',
      encryptionKeys,
      date,
      format: 'binary',
    });
    return { sessionKey, forRecipients };
  };
  // What cannot be done with one of them is told now, and not when the first segment is full.
  await begin().catch((error: unknown) => {
    throw new LbsError('encryption-key', `cannot encrypt to the keys: ${messageOf(error)}`);
  });
  return begin;
}

async function usableKeys(
  library: KeyLibrary,
  file: string,
  date: Date,
): Promise<OpenPgp.PublicKey[]> {
  const hint = `write the public keys with: gpg --armor --export KEY > ${showText(file)}`;
  const keys = await readKeys(library, file, { code: 'encryption-key', hint });
  const usable: OpenPgp.PublicKey[] = [];
  for (const key of keys.map((each) => each.toPublic())) {
    const why = await refusal(key, date);
    if (why === undefined) {
      usable.push(key);
      continue;
    }
    throw new LbsError(
      'encryption-key',
      `the key ${keyLabel(key)} in ${showText(file)} ${why}: nothing is encrypted to it`,
      { hint: 'nothing was stored; take the key out of that file, or give one that can be used' },
    );
  }
  return usable;
}

/** Why nothing can be encrypted to `key`; undefined when something can. */
async function refusal(key: OpenPgp.PublicKey, date: Date): Promise<string | undefined> {
  if (await key.isRevoked(undefined, undefined, date)) return 'is revoked';
  const expires = await key.getExpirationTime().catch(() => null);
  if (expires instanceof Date && expires <= date) return `expired on ${dayOf(expires)}`;
  try {
    await key.getEncryptionKey(undefined, date);
    return undefined;
  } catch (error) {
    return `cannot be used (${await reasonOf(key, date, messageOf(error))})`;
  }
}

const dayOf = (date: Date): string => date.toISOString().slice(0, 10);

/** The library says the same of all that has no usable subkey. */
async function reasonOf(key: OpenPgp.PublicKey, date: Date, said: string): Promise<string> {
  const reasons: string[] = [];
  for (const subkey of key.subkeys) {
    const id = subkey.getKeyID().toHex().toUpperCase();
    try {
      await subkey.verify(date);
    } catch (error) {
      reasons.push(`subkey ${id}: ${messageOf(error)}`);
    }
  }
  if (reasons.length > 0) return reasons.join('; ');
  return /Could not find valid encryption key/.test(said) ? 'it has no subkey that encrypts' : said;
}

/** Extensions of files that are encrypted: by us, or by filters. */
export const ENCRYPTED = /\.(?:gpg|age)$/;

/**
 * Refuses what does not go with encryption: a filter that encrypts as well, and segments that are too
 * large to be decrypted in memory. @throws {LbsError} usage
 */
export function checkEncryption(
  files: readonly string[] | undefined,
  filter: Filter,
  segmentBytes: number,
): void {
  if (files === undefined || files.length === 0) return;
  if (ENCRYPTED.test(filter.extension)) {
    throw new LbsError(
      'usage',
      `--encrypt-to and the filter "${shownCommand(filter.command)}" would both encrypt`,
      { hint: 'leave out one of them; with --encrypt-to a filter only compresses' },
    );
  }
  if (segmentBytes > SEGMENT_BYTES_MAX) {
    throw new LbsError('usage', `encrypted segments of ${segmentBytes} bytes are not possible`, {
      hint: 'they are decrypted in memory: give --segment-size=64M at most',
    });
  }
}
