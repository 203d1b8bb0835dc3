/**
 * Files of OpenPGP keys: what `gpg --export` or `gpg --export-secret-keys` writes, armored or not,
 * one or several keys in any number of blocks.
 *
 * Called for keys that sign and verify (snapshots/signature-keys), that encrypt (segments/recipients)
 * and decrypt (segments/decrypt-key). They hand in the openpgp library, which is loaded on use.
 */
import { readFileSync } from 'node:fs';
import type * as OpenPgp from 'openpgp';
import { type ErrorCode, LbsError, messageOf } from '../errors.ts';
import { showText } from './byte-path.ts';

export type KeyLibrary = typeof OpenPgp;

/** What an error about a key file is called, and what to do about it. */
export type KeyFileUse = { readonly code: ErrorCode; readonly hint: string };

const ARMOR_BLOCK =
  /^-----BEGIN PGP (PUBLIC|PRIVATE) KEY BLOCK-----$[\s\S]*?^-----END PGP \1 KEY BLOCK-----$/gm;
/** A keybox (pubring.kbx) says so eight bytes after its start; it is not in the OpenPGP format. */
const KEYBOX_MAGIC = 'KBXf';

/** `0123456789ABCDEF (Name <mail>)`, for messages. */
export function keyLabel(key: OpenPgp.Key): string {
  const user = key.getUserIDs()[0];
  const id = key.getKeyID().toHex().toUpperCase();
  return user === undefined ? id : `${id} (${showText(user)})`;
}

/** All keys in `file`, at least one. @throws {LbsError} the code of `use` */
export async function readKeys(
  library: KeyLibrary,
  file: string,
  { code, hint }: KeyFileUse,
): Promise<OpenPgp.Key[]> {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (cause) {
    const message = `cannot read the key file ${showText(file)}: ${messageOf(cause)}`;
    throw new LbsError(code, message, { cause });
  }
  try {
    const keys = await parseKeys(library, bytes);
    if (keys.length === 0) throw new Error('it has none');
    return keys;
  } catch (cause) {
    const message = `there is no usable key in ${showText(file)}: ${messageOf(cause)}`;
    throw new LbsError(code, message, { cause, hint });
  }
}

async function parseKeys(library: KeyLibrary, bytes: Buffer): Promise<OpenPgp.Key[]> {
  if (bytes.toString('latin1', 8, 12) === KEYBOX_MAGIC) throw new Error('it is a keybox of gpg');
  if (bytes.length === 0) throw new Error('it is empty');
  if (!bytes.includes('-----BEGIN PGP')) return await library.readKeys({ binaryKeys: bytes });
  const blocks = bytes.toString('latin1').replaceAll('\r\n', '\n').match(ARMOR_BLOCK) ?? [];
  if (blocks.length === 0) throw new Error('it has no complete key block');
  const keys: OpenPgp.Key[] = [];
  for (const block of blocks) keys.push(...(await library.readKeys({ armoredKeys: block })));
  return keys;
}
