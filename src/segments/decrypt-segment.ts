/**
 * From an encrypted OpenPGP message to the file that was encrypted, in memory.
 *
 * The whole message is decrypted, and its seal compared, before a single byte of it is used: who can
 * change a store must not learn or choose anything by changing a message. So what can be decrypted
 * is bounded by memory; an anonymous file takes it, and nothing of it gets on a disk. Written by
 * encrypt-segment, gpg, and others; called by unfilter with the key that decrypt-key found.
 */
import { createDecipheriv, createHash, timingSafeEqual } from 'node:crypto';
import { read, readSync, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { LbsError } from '../errors.ts';
import {
  LiteralData,
  PACKET,
  PacketReader,
  type PacketSink,
  corruptMessage,
  unreadableMessage,
} from '../format/openpgp-packet.ts';
import * as libc from '../posix/libc.ts';
import type { OpenFile } from '../stores/store.ts';
import {
  CIPHER_BLOCK_BYTES,
  PREFIX_BYTES,
  PROTECTED_VERSION,
  SEAL_BYTES,
  SEAL_HEADER,
} from './encrypt-segment.ts';
import { RECIPIENTS_MAX } from './recipients.ts';

const readAsync = promisify(read);

/** What decrypts one message; the algorithm by its name in the openpgp library. */
export type SessionKey = { readonly algorithm: string; readonly key: Uint8Array };

/** What a compressed packet holds a packet with the data in, by the numbers of RFC 9580. */
const ALGORITHMS = ['packets', 'zip', 'zlib', 'bzip2'] as const;

/** What is in a decrypted file: the data, or a packet with it, which is compressed mostly. */
export type Packing = 'data' | (typeof ALGORITHMS)[number];

/** A decrypted file in memory, which has to be closed. */
export type DecryptedFile = { readonly file: OpenFile; readonly packing: Packing };

const CIPHERS: ReadonlyMap<string, string> = new Map([
  ['aes128', 'aes-128-cfb'],
  ['aes192', 'aes-192-cfb'],
  ['aes256', 'aes-256-cfb'],
]);

/** What is decrypted in memory, twice the largest that is written. */
export const DECRYPTED_BYTES_MAX = 128 * 1024 * 1024;
const READ_BYTES = 1024 * 1024;
/** Session keys are at the start, each of some hundred bytes. */
const SESSION_BYTES_MAX = 128 * 1024;

const BEFORE_ENCRYPTED: ReadonlySet<number> = new Set([
  PACKET.publicKeySession,
  PACKET.passphraseSession,
  PACKET.marker,
]);

/** A file in memory of what `write` gives it. Nothing is left of it when that fails. */
export async function memoryFileOf(
  write: (put: (bytes: Buffer) => void) => Promise<void>,
): Promise<OpenFile> {
  const fd = libc.memoryFile('lbs-decrypted');
  try {
    // By hand: a place in the file that moves would be the place where a command begins to read.
    let end = 0;
    await write((bytes) => {
      for (let at = 0; at < bytes.length;)
        at += writeSync(fd, bytes, at, bytes.length - at, end + at);
      end += bytes.length;
    });
    // Not by the runtime, which in a thread warns of a file that it has not opened.
    return { fd, sizeBytes: end, close: () => libc.close(fd) };
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

/** Where in the file the packet begins that holds what is encrypted, and the packets before it. */
type Layout = { readonly at: number; readonly sessions: readonly Buffer[] };

function layoutOf(file: OpenFile): Layout {
  const start = Buffer.alloc(Math.min(SESSION_BYTES_MAX, file.sizeBytes));
  const filled = readSync(file.fd, start, 0, start.length, 0);
  const sessions: Buffer[] = [];
  for (let at = 0; ;) {
    const packet = wholePacket(start.subarray(at, filled));
    switch (packet.tag) {
      case PACKET.protected:
        return { at, sessions };
      case PACKET.publicKeySession:
        sessions.push(start.subarray(at, at + packet.bytes));
        break;
      case PACKET.passphraseSession:
      case PACKET.marker:
        break;
      case PACKET.unprotected:
        throw new LbsError(
          'segment-corrupt',
          'the message is not protected against changes, so nothing of it is used',
          { hint: 'no gpg of this century writes such: somebody may have changed it' },
        );
      case PACKET.aead:
        throw unreadableMessage('encrypted in a way of gpg 2.3 and later (OCB)');
      default:
        throw corruptMessage(`a packet of type ${packet.tag} before what is encrypted`);
    }
    if (sessions.length > RECIPIENTS_MAX) throw corruptMessage('it has too many session keys');
    at += packet.bytes;
  }
}

/** Tag and length of the packet that `bytes` begins with; without length for what is encrypted. */
function wholePacket(bytes: Buffer): { tag: number; bytes: number } {
  if (bytes.toString('latin1', 0, 10) === '-----BEGIN') {
    throw unreadableMessage('armored text');
  }
  let tag = 0;
  const reader = new PacketReader({ begin: (begun) => (tag = begun), body: () => undefined });
  // Octet by octet, since nothing else tells where a packet ends: a few hundred for each.
  for (let at = 0; at < bytes.length; at++) {
    reader.push(bytes.subarray(at, at + 1));
    if (!BEFORE_ENCRYPTED.has(tag)) return { tag, bytes: 0 };
    if (reader.isWhole) return { tag, bytes: at + 1 };
  }
  throw corruptMessage('it ends before what is encrypted');
}

/** The encrypted session keys of a message, as they are. @throws {LbsError} segment-corrupt, filter-missing */
export function sessionPackets(file: OpenFile): Buffer {
  return Buffer.concat(layoutOf(file).sessions);
}

/**
 * The file that was encrypted.
 * @throws {LbsError} segment-corrupt when anything of the message is not as it was written
 */
export async function decryptFile(file: OpenFile, session: SessionKey): Promise<DecryptedFile> {
  if (file.sizeBytes > DECRYPTED_BYTES_MAX) throw tooLarge();
  const { at } = layoutOf(file);
  let packing: Packing = 'data';
  const decrypted = await memoryFileOf(async (put) => {
    const data = new MessageData(put);
    const message = new SealedMessage(session, data);
    const reader = new PacketReader(message);
    const chunk = Buffer.allocUnsafeSlow(READ_BYTES);
    for (let position = at; ;) {
      const { bytesRead } = await readAsync(file.fd, chunk, 0, READ_BYTES, position);
      if (bytesRead === 0) break;
      position += bytesRead;
      reader.push(chunk.subarray(0, bytesRead));
    }
    if (!reader.isWhole) throw corruptMessage('it ends too early');
    message.end();
    data.end();
    packing = data.packing;
  });
  return { file: decrypted, packing };
}

export function tooLarge(): LbsError {
  const sizeMb = DECRYPTED_BYTES_MAX / 1024 / 1024;
  return new LbsError('segment-corrupt', `it is larger than any encrypted segment (${sizeMb} MiB)`);
}

/** Decrypts the packet of a message, and holds its seal against it. */
class SealedMessage implements PacketSink {
  readonly #inside: PacketReader;
  readonly #decipher: ReturnType<typeof createDecipheriv>;
  readonly #sha1 = createHash('sha1');
  #isBegun = false;
  #version: number | undefined;
  #prefixLeft = PREFIX_BYTES;
  /** The last bytes so far: they may be the seal. */
  #last: Buffer = Buffer.alloc(0);
  /** What is wrong inside, which matters only where the seal is good. */
  #failure: { readonly error: unknown } | undefined;

  constructor({ algorithm, key }: SessionKey, data: PacketSink) {
    const cipher = CIPHERS.get(algorithm);
    if (cipher === undefined) throw unreadableMessage(`encrypted with ${algorithm}`);
    this.#inside = new PacketReader(data);
    try {
      this.#decipher = createDecipheriv(cipher, key, Buffer.alloc(CIPHER_BLOCK_BYTES));
    } catch {
      throw corruptMessage('its session key has the wrong length');
    }
  }

  begin(tag: number): void {
    if (tag !== PACKET.protected || this.#isBegun) throw corruptMessage('data after its end');
    this.#isBegun = true;
  }

  body(bytes: Buffer): void {
    if (this.#version === undefined) {
      this.#version = bytes[0] ?? 0;
      if (this.#version === 2) throw unreadableMessage('encrypted in the way of RFC 9580');
      if (this.#version !== PROTECTED_VERSION) throw corruptMessage('its version is unknown');
      this.#plain(this.#decipher.update(bytes.subarray(1)));
    } else this.#plain(this.#decipher.update(bytes));
  }

  #plain(bytes: Buffer): void {
    if (bytes.length < SEAL_BYTES) {
      const both = Buffer.concat([this.#last, bytes]);
      const known = Math.max(0, both.length - SEAL_BYTES);
      this.#use(both.subarray(0, known));
      this.#last = both.subarray(known);
      return;
    }
    this.#use(this.#last);
    this.#use(bytes.subarray(0, -SEAL_BYTES));
    this.#last = Buffer.from(bytes.subarray(-SEAL_BYTES));
  }

  #use(bytes: Buffer): void {
    this.#sha1.update(bytes);
    const skipped = Math.min(this.#prefixLeft, bytes.length);
    this.#prefixLeft -= skipped;
    if (this.#failure !== undefined) return;
    try {
      this.#inside.push(bytes.subarray(skipped));
    } catch (error) {
      this.#failure = { error };
    }
  }

  /** @throws {LbsError} segment-corrupt */
  end(): void {
    this.#sha1.update(SEAL_HEADER);
    const expected = Buffer.concat([SEAL_HEADER, this.#sha1.digest()]);
    if (this.#last.length !== SEAL_BYTES || !timingSafeEqual(expected, this.#last)) {
      throw corruptMessage('its bytes are not those that were encrypted');
    }
    if (this.#failure !== undefined) throw this.#failure.error;
    if (!this.#inside.isWhole) throw corruptMessage('its data ends too early');
  }
}

/** What is inside of a message: data, or data that is packed once more. */
class MessageData implements PacketSink {
  readonly #put: (bytes: Buffer) => void;
  readonly #literal: LiteralData;
  #isPacked = false;
  #isBegun = false;
  #algorithm: number | undefined;

  constructor(put: (bytes: Buffer) => void) {
    this.#put = put;
    this.#literal = new LiteralData(put);
  }

  begin(tag: number): void {
    const isPacked = tag === PACKET.compressed;
    if (this.#isBegun && (isPacked || this.#isPacked)) throw corruptMessage('data after its end');
    this.#isBegun = true;
    this.#isPacked = isPacked;
    if (!isPacked) this.#literal.begin(tag);
  }

  body(bytes: Buffer): void {
    if (!this.#isPacked) this.#literal.body(bytes);
    else if (this.#algorithm !== undefined) this.#put(bytes);
    else {
      this.#algorithm = bytes[0] ?? 0;
      this.#put(bytes.subarray(1));
    }
  }

  /** @throws {LbsError} segment-corrupt */
  end(): void {
    if (!this.#isPacked) this.#literal.end();
  }

  /** @throws {LbsError} segment-corrupt */
  get packing(): Packing {
    const packing = this.#isPacked ? ALGORITHMS[this.#algorithm ?? -1] : 'data';
    if (packing === undefined) throw corruptMessage('it is compressed in an unknown way');
    return packing;
  }
}
