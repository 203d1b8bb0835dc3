/**
 * The OpenPGP key that signs, and those whose signatures are believed.
 *
 * Called by snapshots/signature, which hands in the openpgp library so that only that file of its
 * stage loads it. What a key file may be: std/key-file.
 */
import type * as OpenPgp from 'openpgp';
import { LbsError, messageOf } from '../errors.ts';
import { type KeyLibrary, keyLabel, readKeys } from '../std/key-file.ts';

/** An error about a key or a key file. */
export function keyError(message: string, hint?: string, cause?: unknown): LbsError {
  return new LbsError('signature-key', message, {
    ...(cause === undefined ? {} : { cause }),
    ...(hint === undefined ? {} : { hint }),
  });
}

/** Public keys in `file`, at least one. @throws {LbsError} signature-key */
export async function readPublicKeys(
  library: KeyLibrary,
  file: string,
): Promise<OpenPgp.PublicKey[]> {
  const hint = `write the public keys with: gpg --armor --export KEY > ${file}`;
  const keys = await readKeys(library, file, { code: 'signature-key', hint });
  return keys.map((key) => key.toPublic());
}

/** The one secret key in `file`; public keys beside it do not count. */
async function readSecretKey(library: KeyLibrary, file: string): Promise<OpenPgp.PrivateKey> {
  const hint = `write the secret key with: gpg --armor --export-secret-keys KEY > ${file}`;
  const keys = await readKeys(library, file, { code: 'signature-key', hint });
  const secret = keys.filter((key) => key.isPrivate());
  const [only] = secret;
  if (only === undefined) {
    throw keyError(`there is no secret key in ${file}, only public ones`, hint);
  }
  if (secret.length > 1) {
    const names = secret.map(keyLabel).join(', ');
    const few = 'put the one that is to sign into a file of its own';
    throw keyError(`there are ${secret.length} secret keys in ${file}: ${names}`, few);
  }
  return only;
}

/** Says why a key may not sign at `date`. */
async function checkMaySign(key: OpenPgp.PrivateKey, file: string, date: Date) {
  const named = `the key ${keyLabel(key)} in ${file}`;
  const made = key.getCreationTime();
  if (made > date) {
    throw keyError(
      `${named} is from ${made.toISOString().slice(0, 10)}, which by this clock is still to come`,
      'set the clock right and run the same command again: nobody would believe that signature',
    );
  }
  if (await key.isRevoked(undefined, undefined, date)) {
    throw keyError(`${named} is revoked`, 'sign with another key');
  }
  const expires = await key.getExpirationTime().catch(() => null);
  if (expires instanceof Date && expires <= date) {
    const day = expires.toISOString().slice(0, 10);
    throw keyError(
      `${named} expired on ${day}`,
      'extend it (gpg --quick-set-expire), write the file again, and give the new public key to those who verify',
    );
  }
  try {
    return await key.getSigningKey(undefined, date);
  } catch (error) {
    throw keyError(`${named} cannot sign: ${messageOf(error)}`, undefined, error);
  }
}

/** What unlocks a protected key; asked only when needed. */
export type AskPassphrase = () => Promise<{ value: string; variable: string } | undefined>;

/**
 * The secret key in `file`, unlocked and good for signing at `date`.
 * @throws {LbsError} signature-key
 */
export async function openSecretKey(
  library: KeyLibrary,
  file: string,
  date: Date,
  ask: AskPassphrase,
): Promise<OpenPgp.PrivateKey> {
  const key = await readSecretKey(library, file);
  const signer = await checkMaySign(key, file, date);
  const packet = signer.keyPacket;
  if (!('isMissingSecretKeyMaterial' in packet) || packet.isMissingSecretKeyMaterial()) {
    throw keyError(
      `${file} lacks the secret part that signs (it is on a card, or was left out on purpose)`,
      "sign with --signature-filter='gpg --clearsign', which can use the card",
    );
  }
  if (packet.privateParams !== null) return key;
  const passphrase = await ask();
  if (passphrase === undefined) {
    throw keyError(
      `the key ${keyLabel(key)} in ${file} is protected by a passphrase, and none was given`,
      'set LBS_SIGN_PASSPHRASE_FILE, LBS_SIGN_PASSPHRASE_COMMAND or LBS_SIGN_PASSPHRASE in the environment',
    );
  }
  try {
    return await library.decryptKey({ privateKey: key, passphrase: passphrase.value });
  } catch (error) {
    // The library's words and cause are left out: nothing of a passphrase may reach a message.
    if (/passphrase/i.test(messageOf(error))) {
      throw keyError(
        `the passphrase from ${passphrase.variable} does not unlock the key ${keyLabel(key)} in ${file}`,
      );
    }
    throw keyError(`the key in ${file} cannot be unlocked: ${messageOf(error)}`);
  }
}
