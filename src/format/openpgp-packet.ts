/**
 * The frame of OpenPGP packets (RFC 9580, section 4.2): a tag and the length of a body, which may
 * come in parts. As much of it as an encrypted message needs, as bytes arrive and go.
 *
 * Written: bodies in parts of one size, since nobody knows their length before their end. Read:
 * every kind of length, old and new, for what gpg and others wrote.
 */
import { LbsError } from '../errors.ts';

export const PACKET = {
  publicKeySession: 1,
  signature: 2,
  passphraseSession: 3,
  onePassSignature: 4,
  compressed: 8,
  unprotected: 9,
  marker: 10,
  literal: 11,
  protected: 18,
  aead: 20,
} as const;

/** Size of the parts of a body, as a power of two. */
const PART_BITS = 16;
const PART_BYTES = 1 << PART_BITS;
const NEW_FORMAT = 0xc0;
const PARTIAL = 0xe0;

function lengthOctets(bytes: number): Buffer {
  if (bytes < 192) return Buffer.from([bytes]);
  if (bytes < 8384) return Buffer.from([((bytes - 192) >> 8) + 192, (bytes - 192) & 0xff]);
  const five = Buffer.from([0xff, 0, 0, 0, 0]);
  five.writeUInt32BE(bytes, 1);
  return five;
}

/** One packet whose body is written as it comes. */
export class PacketWriter {
  readonly #tag: number;
  #isBegun = false;
  #pending: Buffer[] = [];
  #pendingBytes = 0;

  constructor(tag: number) {
    this.#tag = tag;
  }

  /** Takes more of the body, and gives what can be written; views of what was taken, not copies. */
  push(bytes: Buffer): Buffer[] {
    if (bytes.length > 0) this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    const out: Buffer[] = [];
    // The last part has another kind of length, so one part is always kept back.
    while (this.#pendingBytes > PART_BYTES) {
      out.push(this.#head(Buffer.from([PARTIAL | PART_BITS])), ...this.#take(PART_BYTES));
    }
    // Whoever gave it may use it again. What was kept before is a copy already.
    const kept = bytes.length === 0 ? undefined : this.#pending.pop();
    if (kept !== undefined) this.#pending.push(Buffer.from(kept));
    return out;
  }

  /** The rest. */
  end(): Buffer[] {
    const bytes = this.#pendingBytes;
    return [this.#head(lengthOctets(bytes)), ...this.#take(bytes)];
  }

  #head(length: Buffer): Buffer {
    if (this.#isBegun) return length;
    this.#isBegun = true;
    return Buffer.concat([Buffer.from([NEW_FORMAT | this.#tag]), length]);
  }

  #take(bytes: number): Buffer[] {
    const taken: Buffer[] = [];
    let missing = bytes;
    while (missing > 0) {
      const [first = Buffer.alloc(0)] = this.#pending;
      const part = first.subarray(0, missing);
      taken.push(part);
      missing -= part.length;
      if (part.length === first.length) this.#pending.shift();
      else this.#pending[0] = first.subarray(part.length);
    }
    this.#pendingBytes -= bytes;
    return taken;
  }
}

/** Takes packets as they are read. */
export type PacketSink = {
  begin(tag: number): void;
  /** More of the body, valid during the call. */
  body(bytes: Buffer): void;
};

/** What the first octet of a packet says, and how its length goes on. */
type Awaited =
  | { readonly kind: 'tag' }
  /** So many octets of a length of the old format. */
  | { readonly kind: 'old-length'; readonly octets: number }
  | { readonly kind: 'new-length' };

export class PacketReader {
  readonly #sink: PacketSink;
  #awaited: Awaited = { kind: 'tag' };
  /** Octets of a length that is not complete. */
  #octets: number[] = [];
  /** Bytes of the body, or of a part of it, to come. */
  #bodyLeft = 0;
  #isPartial = false;
  #isEndless = false;

  constructor(sink: PacketSink) {
    this.#sink = sink;
  }

  /** @throws {LbsError} segment-corrupt, and what the sink throws */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#bodyLeft === 0 && !this.#isEndless) {
        this.#octet(chunk[at++] ?? 0);
        continue;
      }
      const end = this.#isEndless ? chunk.length : Math.min(chunk.length, at + this.#bodyLeft);
      this.#sink.body(chunk.subarray(at, end));
      if (!this.#isEndless) this.#bodyLeft -= end - at;
      at = end;
      if (this.#bodyLeft === 0 && this.#isPartial) this.#awaited = { kind: 'new-length' };
    }
  }

  /** True between packets, and in one whose end is that of the bytes. */
  get isWhole(): boolean {
    return this.#isEndless || (this.#awaited.kind === 'tag' && this.#bodyLeft === 0);
  }

  #octet(octet: number): void {
    if (this.#awaited.kind === 'tag') this.#tag(octet);
    else {
      this.#octets.push(octet);
      const bytes =
        this.#awaited.kind === 'old-length'
          ? this.#oldLength(this.#awaited.octets)
          : this.#newLength();
      if (bytes === undefined) return;
      this.#octets = [];
      this.#bodyLeft = bytes;
      this.#awaited = { kind: 'tag' };
    }
  }

  #tag(octet: number): void {
    if ((octet & 0x80) === 0) throw corruptMessage('no OpenPGP packet where one should be');
    this.#isPartial = false;
    const isNew = (octet & 0x40) !== 0;
    const lengthType = octet & 3;
    if (isNew) this.#awaited = { kind: 'new-length' };
    else if (lengthType === 3) this.#isEndless = true;
    else this.#awaited = { kind: 'old-length', octets: 1 << lengthType };
    this.#sink.begin(isNew ? octet & 0x3f : (octet >> 2) & 0xf);
  }

  #oldLength(octets: number): number | undefined {
    if (this.#octets.length < octets) return undefined;
    return Buffer.from(this.#octets).readUIntBE(0, octets);
  }

  #newLength(): number | undefined {
    const [first = 0, second] = this.#octets;
    this.#isPartial = first >= PARTIAL && first < 0xff;
    if (this.#isPartial) return 2 ** (first & 0x1f);
    if (first < 192) return first;
    if (first === 0xff) {
      return this.#octets.length < 5 ? undefined : Buffer.from(this.#octets).readUInt32BE(1);
    }
    return second === undefined ? undefined : ((first - 192) << 8) + second + 192;
  }
}

export function corruptMessage(why: string): LbsError {
  return new LbsError('segment-corrupt', `the encrypted message is damaged: ${why}`);
}

/** Not as a filter that is missing: one damaged bit can make any message look like this. */
export function unreadableMessage(why: string): LbsError {
  return new LbsError(
    'decryption-key',
    `the message is ${why}, which --decrypt-key does not read`,
    {
      hint: 'leave out --decrypt-key, and gpg reads it',
    },
  );
}

/** Name and date in front of the data of a literal packet; they mean nothing here. */
export const LITERAL_HEADER = Buffer.from([0x62, 0, 0, 0, 0, 0]);

/** The data of one literal packet, without what stands in front of it. */
export class LiteralData implements PacketSink {
  readonly #take: (data: Buffer) => void;
  #isBegun = false;
  #header: number[] = [];

  /** `take` gets data that is valid during the call. */
  constructor(take: (data: Buffer) => void) {
    this.#take = take;
  }

  begin(tag: number): void {
    if (tag === PACKET.onePassSignature || tag === PACKET.signature) {
      throw unreadableMessage('signed as well');
    }
    if (tag !== PACKET.literal || this.#isBegun) {
      throw corruptMessage(`a packet of type ${tag} where the data should be`);
    }
    this.#isBegun = true;
  }

  body(bytes: Buffer): void {
    let at = 0;
    // Format, length of the name, the name, four octets of a date.
    while (at < bytes.length && this.#header.length < 6 + (this.#header[1] ?? 0)) {
      this.#header.push(bytes[at++] ?? 0);
    }
    if (at < bytes.length) this.#take(bytes.subarray(at));
  }

  /** @throws {LbsError} segment-corrupt when there was none */
  end(): void {
    if (this.#header.length < 2 || this.#header.length < 6 + (this.#header[1] ?? 0)) {
      throw corruptMessage('it ends before its data');
    }
  }
}
