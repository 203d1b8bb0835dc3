/** The seal of a descriptor: every flipped bit and every cut breaks it, and signing does not. */
import test from 'ava';
import { sealed, sealOf } from '../../src/format/descriptor-seal.ts';

const PLAIN = `Format: LBS Snapshot v0.6
Producer: lbs 0.1.0
Date: 2026-11-20 10:14:21 +0100
Root: 7c18fb6f-0616-42cc-a985-5349a54add41/00000001(sha1=7dea2ab2d3a2f4ee4ae2c2e0f1b0d1c2b3a49586)
Checksums: sha1=57e5b58c3a2f4ee4ae2c2e0f1b0d1c2b3a495868
Checksums_sha256: sha256=${'6f1e'.repeat(16)}
Host: atlas
Paths:${' '}
Segments:
    59669976-da50-4cc0-afbf-74d222a510a7
`;
const SEALED = sealed(PLAIN);
const clearSigned = (body: string) =>
  `-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n${body}-----BEGIN PGP SIGNATURE-----\n\nwnUE\n-----END PGP SIGNATURE-----\n`;

test('a sealed text is the text with one line more, before the segments', (t) => {
  t.regex(SEALED, /\nPaths: \nDescriptor_sha256: sha256=[0-9a-f]{64}\nSegments:\n/);
  t.is(SEALED.replace(/Descriptor_sha256: .*\n/, ''), PLAIN);
  t.is(sealOf(SEALED), 'whole');
  t.is(sealed(SEALED), SEALED);
});

test('what was never sealed has none', (t) => {
  t.is(sealOf(PLAIN), 'none');
  t.is(sealOf(clearSigned(PLAIN)), 'none');
  t.is(sealOf(PLAIN.replace('atlas', 'sha256')), 'none');
});

test('signing does not break it, whatever becomes of blanks at the ends of lines', (t) => {
  t.is(sealOf(clearSigned(SEALED)), 'whole');
  t.is(sealOf(clearSigned(SEALED.replace('Paths: ', 'Paths:'))), 'whole');
  t.is(sealOf(clearSigned(SEALED).replaceAll('\n', '\r\n')), 'whole');
});

test('each bit of it that is flipped, and each byte that is cut off or zeroed, breaks it', (t) => {
  const missed: string[] = [];
  for (let at = 0; at < SEALED.length; at++) {
    const bytes = Buffer.from(SEALED, 'latin1');
    for (let bit = 0; bit < 8; bit++) {
      bytes.writeUInt8((SEALED.charCodeAt(at) ^ (1 << bit)) & 0xff, at);
      if (sealOf(bytes.toString('latin1')) !== 'broken') missed.push(`bit ${bit} of ${at}`);
    }
    bytes.writeUInt8(0, at);
    if (sealOf(bytes.toString('latin1')) !== 'broken') missed.push(`zero at ${at}`);
    bytes.fill(0, at);
    if (sealOf(bytes.toString('latin1')) !== 'broken') missed.push(`zeros from ${at} on`);
  }
  // Before its seal a text that is cut off at the end of a line is one that was never sealed; but
  // then it names no segments, which is damage to everybody.
  const sealAt = SEALED.indexOf('Descriptor_');
  for (let length = sealAt + 1; length < SEALED.length; length++) {
    if (sealOf(SEALED.slice(0, length)) === 'whole') missed.push(`cut to ${length}`);
  }
  for (const more of ['\n', ' ', 'x', '\n    59669976-da50-4cc0-afbf-74d222a510a7\n', SEALED]) {
    if (sealOf(SEALED + more) !== 'broken') missed.push(`with ${JSON.stringify(more)}`);
  }
  t.deepEqual(missed, []);
});

test('each changed bit of the lines of a signed text breaks it', (t) => {
  const signed = clearSigned(SEALED);
  t.is(sealOf(signed.slice(0, -1)), 'broken');
  t.is(sealOf(`${signed}\n`), 'broken');
  const [start, end] = [signed.indexOf('Format'), signed.indexOf('-----BEGIN PGP SIGNATURE')];
  const missed: number[] = [];
  for (let at = start; at < end - 1; at++) {
    const bytes = Buffer.from(signed, 'latin1');
    for (let bit = 0; bit < 8; bit++) {
      bytes.writeUInt8((signed.charCodeAt(at) ^ (1 << bit)) & 0xff, at);
      if (sealOf(bytes.toString('latin1')) !== 'broken') missed.push(at);
    }
  }
  t.deepEqual(missed, []);
});
