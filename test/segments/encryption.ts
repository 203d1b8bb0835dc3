/** Encrypted segments, held against gpg: what each writes, the other reads. */
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import test from 'ava';
import * as openpgp from 'openpgp';
import { openRecipients } from '../../src/segments/recipients.ts';
import { decrypted, encrypted, newKey, writeKey } from '../helpers/encrypted-message.ts';
import { gpg, gpgHome } from '../helpers/gpg-home.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const PART = 65536;

test('messages of every length around the borders of their parts are read back', async (t) => {
  const { publicKey, secretKey } = await newKey(t);
  const content = randomBytes(3 * PART);
  // The data has 6 bytes before it, what is encrypted 19, and 22 behind it.
  for (const border of [0, PART - 6, PART - 27, PART - 49, 2 * PART - 6, 2 * PART - 49]) {
    for (const length of [border - 1, border, border + 1, border + 2]) {
      if (length < 0) continue;
      const data = content.subarray(0, length);
      const message = await encrypted([publicKey], [data]);
      t.true((await decrypted(t, message, secretKey)).equals(data), String(length));
    }
  }
  // Borders of what is pushed mean nothing, and what was pushed may be used again at once.
  const pushed = [1, 5, PART - 3, 2, PART + 9, 100].map((length) => randomBytes(length));
  const whole = Buffer.concat(pushed);
  t.true((await decrypted(t, await encrypted([publicKey], pushed), secretKey)).equals(whole));
});

test('gpg reads what is encrypted here, with each of the keys', async (t) => {
  const [ann, bea] = [gpgHome(t), gpgHome(t)];
  const both = join(tempDir(t), 'both');
  writeFileSync(both, readFileSync(ann.publicKey, 'utf8') + readFileSync(bea.publicKey, 'utf8'));
  for (const length of [0, 1000, 5 * PART + 11]) {
    const data = randomBytes(length);
    const message = await encrypted([both], [data]);
    for (const { env } of [ann, bea]) {
      const { code, stdout, stderr } = gpg({ env }, ['--decrypt'], message);
      t.is(code, 0, stderr);
      t.true(stdout.equals(data));
      t.regex(stderr, /encrypted with 255-bit ECDH key/);
    }
    const { stdout } = gpg(ann, ['--list-packets', '--verbose'], message);
    t.regex(stdout.toString(), /:pubkey enc packet:[^]*:pubkey enc packet:[^]*mdc_method: 2/);
    t.notRegex(stdout.toString(), /compressed packet/);
  }
  const changed = await encrypted([both], [randomBytes(1000)]);
  changed[changed.length - 500] = (changed.at(-500) ?? 0) ^ 1;
  t.not(gpg(ann, ['--decrypt'], changed).code, 0, 'and finds what was changed');
});

test('what gpg encrypted is read here: compressed, with each AES, to hidden keys', async (t) => {
  const key = gpgHome(t);
  const data = Buffer.concat([Buffer.alloc(700_000, 'the same again '), randomBytes(300_000)]);
  const file = join(tempDir(t), 'x.tar');
  writeFileSync(file, data);
  const ways = [
    ['--compress-algo=zip', '--cipher-algo=AES'],
    ['--compress-algo=zlib', '--cipher-algo=AES192', '--throw-keyids'],
    ['--compress-algo=bzip2', '--set-filename=a name'],
    ['--compress-algo=none'],
  ];
  for (const way of ways) {
    const options = ['--trust-model=always', '-r', key.user, ...way, '--encrypt'];
    for (const [args, input] of [[['--output=-', file]], [[], data]] as const) {
      const { code, stdout, stderr } = gpg(key, [...options, ...args], input);
      t.is(code, 0, stderr);
      t.true((await decrypted(t, stdout, key.secretKey)).equals(data), way.join(' '));
    }
  }
  const options = ['--trust-model=always', '-r', key.user, '--compress-algo=zip', '--encrypt'];
  const { stdout } = gpg(key, options, zstdCompressSync(data));
  t.true((await decrypted(t, stdout, key.secretKey, { extension: '.zst.gpg' })).equals(data));
  for (const [why, args] of [
    ['armored', ['--armor', ...options]],
    ['signed', ['--sign', ...options]],
    ['tripledes', ['--cipher-algo=3DES', ...options]],
    ['passphrase', ['--pinentry-mode=loopback', '--passphrase=x', '--symmetric']],
  ] as const) {
    const message = gpg(key, args, data).stdout;
    await t.throwsAsync(decrypted(t, message, key.secretKey), {
      code: 'decryption-key',
      message: new RegExp(why),
    });
  }
});

test('keys that nothing can be encrypted to are refused, and named', async (t) => {
  const [good, long] = [await newKey(t), new Date(2020, 0, 1)];
  const expired = await newKey(t, { date: long, keyExpirationTime: 86_400 });
  const signing = await newKey(t, { subkeys: [{ sign: true }] });
  const oldSubkey = await newKey(t, { date: long, subkeys: [{ keyExpirationTime: 86_400 }] });
  const withdrawn = await newKey(t);
  const { privateKey } = await openpgp.revokeKey({ key: withdrawn.key, format: 'object' });
  const revoked = writeKey(t, privateKey);
  const empty = join(tempDir(t), 'empty');
  writeFileSync(empty, '');
  for (const [file, why] of [
    [expired.publicKey, /the key [0-9A-F]{16} \(lbs test .*\) in .* expired on 2020-01-0[12]/],
    [signing.publicKey, /it has no subkey that encrypts/],
    [oldSubkey.publicKey, /cannot be used \(subkey [0-9A-F]{16}: Subkey is expired\)/],
    [revoked.publicKey, /is revoked: nothing is encrypted to it/],
    [empty, /no usable key in .*empty: it is empty/],
    ['/nowhere/key', /cannot read the key file \/nowhere\/key/],
  ] as const) {
    const error = await t.throwsAsync(openRecipients([good.publicKey, file]));
    t.is((error as { code?: string }).code, 'encryption-key');
    t.regex(error.message, why);
  }
  // A file with the secret key does as well, and what is written needs it.
  t.is(await openRecipients([]), undefined);
  const message = await encrypted([good.secretKey], [Buffer.from('x')]);
  t.is(String(await decrypted(t, message, good.secretKey)), 'x');
});

test('a secret key that does not decrypt is told of in words that help', async (t) => {
  const [ann, bea] = [await newKey(t), await newKey(t, { passphrase: 'sesame' })];
  const toAnn = await encrypted([ann.publicKey], [Buffer.from('x')]);
  const toBea = await encrypted([bea.publicKey], [Buffer.from('x')]);
  const idOf = ({ key }: typeof ann) => key.subkeys[0]?.getKeyID().toHex().toUpperCase() ?? '?';
  const refused = async (message: Buffer, file: string, env: Record<string, string>, why: RegExp) =>
    await t.throwsAsync(decrypted(t, message, file, { env }), {
      code: 'decryption-key',
      message: why,
    });
  const open = { LBS_DECRYPT_PASSPHRASE: 'sesame' };
  const needed = new RegExp(`it is encrypted to ${idOf(ann)}; .* has the key [0-9A-F]{16} \\(lbs`);
  await refused(toAnn, bea.secretKey, open, needed);
  await refused(toBea, bea.secretKey, {}, /is protected by a passphrase, and none was given/);
  const wrong = { LBS_DECRYPT_PASSPHRASE: 'canary' };
  const error = await refused(toBea, bea.secretKey, wrong, /from LBS_DECRYPT_PASSPHRASE does not/);
  t.false(JSON.stringify([error, error?.stack, error?.cause]).includes('canary'));
  await refused(toBea, bea.publicKey, open, /no secret key in .*, only public ones/);
  t.is(String(await decrypted(t, toBea, bea.secretKey, { env: open })), 'x');
  // Of two keys in a file the locked one only matters where it is needed.
  const both = join(tempDir(t), 'both');
  writeFileSync(both, Buffer.concat([readFileSync(ann.secretKey), readFileSync(bea.secretKey)]));
  t.is(String(await decrypted(t, toAnn, both)), 'x');
  await refused(toBea, both, {}, /is protected by a passphrase/);
});

test('a file of subkeys alone decrypts, as gpg exports them', async (t) => {
  for (const passphrase of ['', 'sesame']) {
    const key = gpgHome(t, passphrase);
    const file = join(tempDir(t), 'subkeys');
    const unlock = ['--pinentry-mode=loopback', `--passphrase=${passphrase}`];
    writeFileSync(file, gpg(key, [...unlock, '--export-secret-subkeys', key.user]).stdout);
    const message = await encrypted([key.publicKey], [Buffer.from('x')]);
    const command = join(tempDir(t), 'asked');
    const env: Record<string, string> = {
      LBS_DECRYPT_PASSPHRASE_COMMAND: `echo asked >>${command}; echo ${passphrase}`,
    };
    t.is(String(await decrypted(t, message, file, { env })), 'x');
    if (passphrase !== '') t.is(readFileSync(command, 'utf8'), 'asked\n');
  }
});
