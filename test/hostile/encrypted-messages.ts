/**
 * Encrypted messages that somebody made or changed who wants to learn or choose something: nothing
 * of them is given out, and none of them takes memory without bound. EFAIL (2018) is the advisory.
 */
import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import { ftruncateSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import test, { type ExecutionContext } from 'ava';
import { LbsError } from '../../src/errors.ts';
import { LITERAL_HEADER, PACKET, PacketWriter } from '../../src/format/openpgp-packet.ts';
import { decryptFile } from '../../src/segments/decrypt-segment.ts';
import { decrypted, encrypted, newKey, startFor } from '../helpers/encrypted-message.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const MIB = 1024 * 1024;

function packet(tag: number, ...body: (Buffer | number[])[]): Buffer {
  const writer = new PacketWriter(tag);
  const parts = body.flatMap((part) => writer.push(Buffer.from(part)));
  return Buffer.concat([...parts, ...writer.end()]);
}

const literal = (text: string) => packet(PACKET.literal, LITERAL_HEADER, Buffer.from(text));

/** A message with a good seal, whatever is in it. */
async function sealed(publicKey: string, inside: Buffer): Promise<Buffer> {
  const { sessionKey, forRecipients } = await startFor([publicKey]);
  const random = randomBytes(16);
  const plain = Buffer.concat([random, random.subarray(14), inside, Buffer.from([0xd3, 0x14])]);
  const cipher = createCipheriv('aes-256-cfb', sessionKey, Buffer.alloc(16));
  const bytes = cipher.update(Buffer.concat([plain, createHash('sha1').update(plain).digest()]));
  return Buffer.concat([forRecipients, packet(PACKET.protected, [1], bytes)]);
}

/** The error; fails where a single byte is given out before it. */
async function refused(
  t: ExecutionContext,
  message: Buffer,
  secretKey: string,
  extension = '.gpg',
): Promise<LbsError> {
  try {
    const given = await decrypted(t, message, secretKey, { extension });
    t.fail(`gave ${given.length} bytes`);
  } catch (error) {
    if (error instanceof LbsError) return error;
    throw error;
  }
  return new LbsError('internal', 'not refused');
}

test('EFAIL: nothing is given out of a message that was changed, cut off or went on', async (t) => {
  t.timeout(60_000);
  const { publicKey, secretKey } = await newKey(t);
  const message = await encrypted([publicKey], [Buffer.alloc(1500, 'known text ')]);
  const codes = new Set<string>();
  const at = Array.from({ length: 60 }, (_, each) => (each * 31) % message.length);
  for (const place of [...at, message.length - 1]) {
    const changed = Buffer.from(message);
    changed[place] = (changed[place] ?? 0) ^ (1 << (place % 8));
    codes.add((await refused(t, changed, secretKey)).code);
  }
  for (const place of at) {
    codes.add((await refused(t, message.subarray(0, place), secretKey)).code);
  }
  for (const more of [[0], message, literal('x')]) {
    codes.add((await refused(t, Buffer.concat([message, Buffer.from(more)]), secretKey)).code);
  }
  t.deepEqual([...codes].sort(), ['decryption-key', 'segment-corrupt']);
});

test('EFAIL: a message without protection against changes is refused', async (t) => {
  const { publicKey, secretKey } = await newKey(t);
  const { forRecipients } = await startFor([publicKey]);
  const old = packet(PACKET.unprotected, randomBytes(2000));
  const error = await refused(t, Buffer.concat([forRecipients, old]), secretKey);
  t.is(error.code, 'segment-corrupt');
  t.regex(error.message, /not protected against changes/);
});

test('a sealed message with anything else than data in it is damage', async (t) => {
  const { publicKey, secretKey } = await newKey(t);
  const zip = (inside: Buffer) => packet(PACKET.compressed, [1], deflateRawSync(inside));
  t.is(String(await decrypted(t, await sealed(publicKey, literal('x')), secretKey)), 'x');
  const nested = await encrypted([publicKey], [Buffer.from('x')]);
  for (const [why, inside] of [
    ['nothing', Buffer.alloc(0)],
    ['a message', nested],
    ['a message, packed', zip(nested)],
    ['half of the data', literal('x'.repeat(100)).subarray(0, 50)],
    ['half of a header', packet(PACKET.literal, [0x62, 9, 1])],
    ['two of them', Buffer.concat([literal('x'), literal('y')])],
    ['data and packed data', Buffer.concat([literal('x'), zip(literal('y'))])],
    ['packed data and data', Buffer.concat([zip(literal('y')), literal('x')])],
    ['data that is packed twice', zip(zip(literal('x')))],
    ['an unknown packing', packet(PACKET.compressed, [9], Buffer.from('x'))],
    ['a packing of nothing', packet(PACKET.compressed, [1])],
    ['a packing that is none', packet(PACKET.compressed, [1], randomBytes(100))],
    ['no packet', Buffer.from('plain text')],
  ] as const) {
    const error = await refused(t, await sealed(publicKey, inside), secretKey);
    t.is(error.code, 'segment-corrupt', `${why}: ${error.message}`);
  }
});

test('several session keys, or too many of one, are refused', async (t) => {
  const { publicKey, secretKey } = await newKey(t);
  const message = await encrypted([publicKey], [Buffer.from('x')]);
  const { forRecipients } = await startFor([publicKey]);
  const two = await refused(t, Buffer.concat([forRecipients, message]), secretKey);
  t.is(two.code, 'segment-corrupt', two.message);
  t.regex(two.message, /several session keys/);
  const many = Array.from({ length: 70 }, () => forRecipients);
  const error = await refused(t, Buffer.concat([...many, message]), secretKey);
  t.regex(error.message, /too many session keys/);
});

test('a bomb in a message is refused, and so is a message too large for memory', async (t) => {
  const { publicKey, secretKey } = await newKey(t);
  const writer = new PacketWriter(PACKET.literal);
  const parts = writer.push(LITERAL_HEADER);
  const zeros = Buffer.alloc(MIB);
  for (let mib = 0; mib < 200; mib++) parts.push(...writer.push(zeros));
  const packed = deflateRawSync(Buffer.concat([...parts, ...writer.end()]));
  const bomb = await sealed(publicKey, packet(PACKET.compressed, [1], packed));
  t.true(bomb.length < MIB);
  const error = await refused(t, bomb, secretKey, '.zst.gpg');
  t.is(error.code, 'segment-corrupt');
  t.regex(error.message, /larger than any encrypted segment \(128 MiB\)/);

  const fd = openSync(join(tempDir(t), 'large'), 'w+');
  ftruncateSync(fd, 129 * MIB);
  const file = { fd, sizeBytes: 129 * MIB, close: () => undefined };
  const session = { algorithm: 'aes256', key: randomBytes(32) };
  await t.throwsAsync(decryptFile(file, session), { message: /larger than any/ });
});
