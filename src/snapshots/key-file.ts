/**
 * OpenPGP keys from files: the one that signs, and those whose signatures are believed.
 *
 * Called by snapshots/signature, which hands in the openpgp library so that only that file loads
 * it. A key file is what `gpg --export` or `gpg --export-secret-keys` writes, armored or not, one
 * or several keys in any number of blocks.
 */
import { readFileSync } from 'node:fs';
import type * as OpenPgp from 'openpgp';
import { LbsError, messageOf } from '../errors.ts';
import { showText } from '../std/byte-path.ts';

type Library = typeof OpenPgp;

const ARMOR_BLOCK =
  /^-----BEGIN PGP (PUBLIC|PRIVATE) KEY BLOCK-----$[\s\S]*?^-----END PGP \1 KEY BLOCK-----$/gm;
/** A keybox (pubring.kbx) says so eight bytes after its start; it is not in the OpenPGP format. */
const KEYBOX_MAGIC = 'KBXf';

/** An error about a key or a key file. */
export function keyError(message: string, hint?: string, cause?: unknown): LbsError {
  return new LbsError('signature-key', message, {
    ...(cause === undefined ? {} : { cause }),
    ...(hint === undefined ? {} : { hint }),
  });
}

/** `0123456789ABCDEF (Name <mail>)`, for messages. */
export function keyLabel(key: OpenPgp.Key): string {
  const user = key.getUserIDs()[0];
  const id = key.getKeyID().toHex().toUpperCase();
  return user === undefined ? id : `${id} (${showText(user)})`;
}

async function readAll(library: Library, file: string, hint: string): Promise<OpenPgp.Key[]> {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw keyError(`cannot read the key file ${file}: ${messageOf(error)}`, undefined, error);
  }
  try {
    if (bytes.toString('latin1', 8, 12) === KEYBOX_MAGIC) throw new Error('it is a keybox of gpg');
    if (bytes.length === 0) throw new Error('it is empty');
    if (!bytes.includes('-----BEGIN PGP')) return await library.readKeys({ binaryKeys: bytes });
    const blocks = bytes.toString('latin1').replaceAll('\r\n', '\n').match(ARMOR_BLOCK) ?? [];
    if (blocks.length === 0) throw new Error('it has no complete key block');
    const keys: OpenPgp.Key[] = [];
    for (const block of blocks) keys.push(...(await library.readKeys({ armoredKeys: block })));
    return keys;
  } catch (error) {
    throw keyError(`there is no usable key in ${file}: ${messageOf(error)}`, hint, error);
  }
}

/** Public keys in `file`, at least one. @throws {LbsError} signature-key */
export async function readPublicKeys(library: Library, file: string): Promise<OpenPgp.PublicKey[]> {
  const hint = `write the public keys with: gpg --armor --export KEY > ${file}`;
  const keys = await readAll(library, file, hint);
  if (keys.length === 0) throw keyError(`there is no key in ${file}`, hint);
  return keys.map((key) => key.toPublic());
}

/** The one secret key in `file`; public keys beside it do not count. */
async function readSecretKey(library: Library, file: string): Promise<OpenPgp.PrivateKey> {
  const hint = `write the secret key with: gpg --armor --export-secret-keys KEY > ${file}`;
  const keys = await readAll(library, file, hint);
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
  library: Library,
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
