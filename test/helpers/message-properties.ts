/** What must hold of the frame of encrypted messages, whatever bytes come: see parser-properties. */
import { deepStrictEqual } from 'node:assert';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LbsError } from '../../src/errors.ts';
import {
  LITERAL_HEADER,
  PACKET,
  PacketReader,
  PacketWriter,
} from '../../src/format/openpgp-packet.ts';
import { sessionPackets } from '../../src/segments/decrypt-segment.ts';
import { MessageEncryptor } from '../../src/segments/encrypt-segment.ts';

function packet(tag: number, body: Buffer): Buffer {
  const writer = new PacketWriter(tag);
  return Buffer.concat([...writer.push(body), ...writer.end()]);
}

/** A session key for nobody. */
const FOR_RECIPIENT = packet(PACKET.publicKeySession, Buffer.alloc(90, 3));
const encryptor = new MessageEncryptor({
  sessionKey: Buffer.alloc(32),
  forRecipients: Buffer.concat([FOR_RECIPIENT, FOR_RECIPIENT]),
});
const MESSAGE = Buffer.concat([encryptor.push(Buffer.from('some data')), encryptor.end()]);
const LITERAL = packet(PACKET.literal, Buffer.concat([LITERAL_HEADER, Buffer.from('data')]));
/** An old packet, one in parts, one to the end. */
const LENGTHS = Buffer.from('a50003616263ce' + 'e161e26264ff00000001' + '61a36566', 'hex');

/** The packets in `bytes`, read in pieces: tags, bodies, and how it ended. */
function packetsIn(bytes: Buffer, pieceBytes: number): unknown[] {
  const packets: { tag: number; body: number[] }[] = [];
  const reader = new PacketReader({
    begin: (tag) => void packets.push({ tag, body: [] }),
    body: (part) => packets.at(-1)?.body.push(...part),
  });
  try {
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      reader.push(bytes.subarray(at, at + pieceBytes));
    }
    return [...packets, reader.isWhole];
  } catch (error) {
    if (!(error instanceof LbsError)) throw error;
    return [...packets, error.message];
  }
}

function checkMessage(bytes: Buffer): void {
  const whole = packetsIn(bytes, Math.max(1, bytes.length));
  for (const pieceBytes of [1, 7]) deepStrictEqual(packetsIn(bytes, pieceBytes), whole);
  const dir = mkdtempSync(join(tmpdir(), 'lbs-test-'));
  const path = join(dir, 'message');
  try {
    writeFileSync(path, bytes);
    const fd = openSync(path, 'r');
    try {
      sessionPackets({ fd, sizeBytes: bytes.length, close: () => undefined });
    } finally {
      closeSync(fd);
    }
  } finally {
    rmSync(dir, { recursive: true });
  }
}

export const MESSAGES = {
  name: 'encrypted messages',
  seeds: [MESSAGE, LITERAL, LENGTHS].map((bytes) => bytes.toString('latin1')),
  check: checkMessage,
};
