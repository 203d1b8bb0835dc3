/**
 * One segment as an encrypted OpenPGP message, while its bytes come out of the filter.
 *
 * The oldest form that is protected against changes, which gpg 2.2 and everything since can read: a
 * session key for each recipient, then AES-256 over a random prefix, the data, and their SHA-1
 * (RFC 9580, section 5.13.1). Nothing is compressed here, as the filter did that. Ciphers and
 * digests are the runtime's; only the frame is made here, in parts, so memory does not grow
 * with the segment. Called by compressed-file; what it begins with comes from recipients.
 */
import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import { LITERAL_HEADER, PACKET, PacketWriter } from '../format/openpgp-packet.ts';

/** What the message of one segment begins with; used for one message only. */
export type MessageStart = {
  /** 32 random bytes. */
  readonly sessionKey: Uint8Array;
  /** The same for each recipient, encrypted: whole packets. */
  readonly forRecipients: Uint8Array;
};

export const CIPHER_BLOCK_BYTES = 16;
export const PREFIX_BYTES = CIPHER_BLOCK_BYTES + 2;
/** A packet of its own at the end of what is encrypted: two octets, and the SHA-1. */
export const SEAL_HEADER = Buffer.from([0xd3, 0x14]);
export const SEAL_BYTES = SEAL_HEADER.length + 20;
/** Version of the packet that holds what is encrypted. */
export const PROTECTED_VERSION = 1;

export class MessageEncryptor {
  readonly #cipher: ReturnType<typeof createCipheriv>;
  readonly #sha1 = createHash('sha1');
  readonly #literal = new PacketWriter(PACKET.literal);
  readonly #encrypted = new PacketWriter(PACKET.protected);
  /** What comes before the first data. */
  #start: Buffer[];

  constructor({ sessionKey, forRecipients }: MessageStart) {
    // The random prefix does what a random start of the cipher would do.
    this.#cipher = createCipheriv('aes-256-cfb', sessionKey, Buffer.alloc(CIPHER_BLOCK_BYTES));
    const random = randomBytes(CIPHER_BLOCK_BYTES);
    const prefix = Buffer.concat([random, random.subarray(-2)]);
    this.#start = [
      Buffer.from(forRecipients),
      ...this.#encrypted.push(Buffer.from([PROTECTED_VERSION])),
      ...this.#seal([prefix]),
      ...this.#seal(this.#literal.push(LITERAL_HEADER)),
    ];
  }

  /** What to write of the message now; `data` may be changed after that. */
  push(data: Buffer): Buffer {
    // In one buffer: each part by itself would be a write of its own, which cost as much as AES.
    return Buffer.concat([...this.#start.splice(0), ...this.#seal(this.#literal.push(data))]);
  }

  /** The rest of the message. */
  end(): Buffer {
    const last = this.#seal(this.#literal.end());
    this.#sha1.update(SEAL_HEADER);
    const seal = Buffer.concat([SEAL_HEADER, this.#sha1.digest()]);
    return Buffer.concat([
      ...this.#start.splice(0),
      ...last,
      ...this.#encrypted.push(this.#cipher.update(seal)),
      ...this.#encrypted.push(this.#cipher.final()),
      ...this.#encrypted.end(),
    ]);
  }

  #seal(pieces: readonly Buffer[]): Buffer[] {
    return pieces.flatMap((piece) => {
      this.#sha1.update(piece);
      return this.#encrypted.push(this.#cipher.update(piece));
    });
  }
}
