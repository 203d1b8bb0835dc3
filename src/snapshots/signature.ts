/**
 * Signing a descriptor, and demanding a good signature before one is believed.
 *
 * A signed descriptor is an OpenPGP clear-signed text: still readable, and accepted by stock
 * `gpg --verify`. The descriptor carries SHA-256 of the list of its segments' SHA-256, so one
 * signature covers every byte of a snapshot. Called by backup/ (signing) and by whoever opens
 * descriptors with --verify-key. Loads the openpgp package only on use.
 *
 * Invariant: `verifySigned` returns nothing but lines that a good signature covers.
 */
import type * as OpenPgp from 'openpgp';
import { LbsError, messageOf } from '../errors.ts';
import { parseClearSigned, signedBytes, signedLines } from '../format/clear-sign.ts';
import { nowSeconds } from '../std/clock.ts';
import { loadOpenPgp } from '../std/load-openpgp.ts';
import { passphraseFor } from '../std/secret.ts';
import { openSecretKey, readPublicKeys } from './signature-keys.ts';

export { signWithFilter } from './signature-filter.ts';

type Library = typeof OpenPgp;

/** Signature type 1, "canonical text document": the only one a clear-signed text has. */
const TEXT_SIGNATURE = 1;

/** Lines as a text whose lines all end with a newline. */
function textOf(lines: readonly string[]): Buffer {
  return Buffer.from(lines.map((line) => `${line}\n`).join(''), 'latin1');
}

/**
 * Clear-signs `text` with the secret key in `keyFile`. A protected key is unlocked with the
 * passphrase that the LBS_SIGN_PASSPHRASE variables of `env` lead to.
 * @throws {LbsError} signature-key
 */
export async function signWithKey(
  text: Buffer,
  keyFile: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<Buffer> {
  const library = await loadOpenPgp();
  const date = new Date(nowSeconds() * 1000);
  const key = await openSecretKey(library, keyFile, date, () => passphraseFor('SIGN', env));
  const lines = signedLines(text);
  // Without the end of the last line, as gpg does it: that end is not part of what is signed.
  const message = await library.createCleartextMessage({
    text: textOf(lines).toString('utf8').replace(/\n$/, ''),
  });
  let signed: Buffer;
  try {
    const armored = await library.sign({ message, signingKeys: key, date });
    // The library ends lines with CR LF; the family's older parsers would take CR into values.
    signed = Buffer.from(armored.replaceAll('\r\n', '\n'));
  } catch (error) {
    throw new LbsError('signature-key', `cannot sign with ${keyFile}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  // A key that can sign but whose signatures nobody accepts (SHA-1, DSA, ...) is found out now,
  // not on the day of the restore.
  const accepted = await verifyWithKeys(library, signed, [key.toPublic()], keyFile);
  if (!accepted.equals(textOf(lines))) {
    throw new LbsError('internal', 'the signed descriptor does not read as it was written');
  }
  return signed;
}

/**
 * The text that a good signature by a key in `keyFile` covers, exactly, each line ended by a
 * newline; nothing else of `text` is returned. SHA-1 signatures are refused. A signature stays
 * good after its key has expired, if the key was valid when it signed; not when the key has been
 * revoked as compromised.
 * @throws {LbsError} signature-missing, signature-bad, signature-key
 */
export async function verifySigned(text: Buffer, keyFile: string): Promise<Buffer> {
  const library = await loadOpenPgp();
  const keys = await readPublicKeys(library, keyFile);
  return verifyWithKeys(library, text, keys, keyFile);
}

function bad(message: string, cause?: unknown, hint?: string): LbsError {
  return new LbsError('signature-bad', message, { cause, ...(hint === undefined ? {} : { hint }) });
}

async function verifyWithKeys(
  library: Library,
  text: Buffer,
  keys: OpenPgp.PublicKey[],
  keyFile: string,
): Promise<Buffer> {
  const { lines, signature: armored } = parseClearSigned(text);
  let signature: OpenPgp.Signature;
  try {
    signature = await library.readSignature({ armoredSignature: armored });
  } catch (error) {
    throw bad(`the signature cannot be read: ${messageOf(error)}`, error);
  }
  const reasons: string[] = [];
  for (const packet of signature.packets) {
    const reason = await refusal(library, signedBytes(lines), packet, keys);
    if (reason === undefined) return textOf(lines);
    reasons.push(reason);
  }
  const why = reasons.length === 0 ? 'there is none' : reasons.join('; ');
  throw bad(`no good signature by a key in ${keyFile}: ${why}`);
}

/** Why one signature is not good; undefined when it is. */
async function refusal(
  library: Library,
  signed: Buffer,
  packet: OpenPgp.SignaturePacket,
  keys: OpenPgp.PublicKey[],
): Promise<string | undefined> {
  // Other types (of a key, of nothing at all) were never meant to vouch for this text.
  if (packet.signatureType !== TEXT_SIGNATURE) return 'it is not a signature of a text';
  const id = packet.issuerKeyID.toHex().toUpperCase();
  if (!keys.some((key) => key.getKeys(packet.issuerKeyID).length > 0)) {
    return `it is by key ${id}, which is not in that file`;
  }
  const list = new library.PacketList<OpenPgp.SignaturePacket>();
  list.push(packet);
  // A rescue system may have a clock in the past: then the signature's own time counts.
  const made = packet.created?.getTime() ?? 0;
  const date = new Date(Math.max(nowSeconds() * 1000, made));
  try {
    const { signatures } = await library.verify({
      message: await library.createMessage({ binary: new Uint8Array(signed) }),
      signature: new library.Signature(list),
      verificationKeys: keys,
      date,
      // Extending a key replaces its self-signature by a younger one; what it signed before
      // must stay good, and the keys in the file are trusted by name anyway.
      config: { allowInsecureVerificationWithReformattedKeys: true },
    });
    if (signatures.length !== 1) return 'it was not understood';
    await Promise.all(signatures.map(({ verified }) => verified));
    return undefined;
  } catch (error) {
    return reasonOf(messageOf(error), id);
  }
}

/** The library's reason in the words of a person who has a descriptor before them. */
function reasonOf(message: string, id: string): string {
  if (/digest did not match|verification failed/i.test(message)) {
    return `the text is not what key ${id} signed (altered or damaged)`;
  }
  const hash = /Insecure (?:message )?hash algorithm: (\w+)/.exec(message)?.[1];
  if (hash !== undefined) return `it is by key ${id} but uses ${hash}, which can be forged`;
  return `it is by key ${id}, but: ${message}`;
}
