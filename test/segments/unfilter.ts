import { createHash, randomBytes } from 'node:crypto';
import { closeSync, fstatSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execFileSync, spawnSync } from 'node:child_process';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import test, { type ExecutionContext } from 'ava';
import { LbsError } from '../../src/errors.ts';
import { unfilter, wayBack } from '../../src/segments/unfilter.ts';
import type { OpenFile } from '../../src/stores/store.ts';

function stored(t: ExecutionContext, bytes: Buffer): OpenFile {
  const dir = mkdtempSync(join(tmpdir(), 'lbs-test-'));
  writeFileSync(join(dir, 'segment'), bytes);
  const fd = openSync(join(dir, 'segment'), 'r');
  rmSync(dir, { recursive: true });
  const file = { fd, sizeBytes: fstatSync(fd).size, close: () => closeSync(fd) };
  t.teardown(() => file.close());
  return file;
}

/** Reads everything; what came before an error counts too. */
async function readAll(
  file: OpenFile,
  extension: string,
  unfilters?: ReadonlyMap<string, string>,
): Promise<{ bytes: number; sha1: string; error: LbsError | undefined }> {
  const digest = createHash('sha1');
  let bytes = 0;
  try {
    for await (const chunk of unfilter(file, extension, { unfilters })) {
      digest.update(chunk);
      bytes += chunk.length;
    }
  } catch (error) {
    if (!(error instanceof LbsError)) throw error;
    return { bytes, sha1: digest.digest('hex'), error };
  }
  return { bytes, sha1: digest.digest('hex'), error: undefined };
}

function sha1(bytes: Buffer): string {
  return createHash('sha1').update(bytes).digest('hex');
}

const CONTENT = Buffer.concat([
  randomBytes(300_000),
  Buffer.from('the same line again and again\n'.repeat(100_000)),
]);

function isInstalled(program: string): boolean {
  return spawnSync('/bin/sh', ['-c', `command -v ${program}`]).status === 0;
}

test('a file without filter is read as it is', async (t) => {
  const read = await readAll(stored(t, CONTENT), '');
  t.is(read.sha1, sha1(CONTENT));
});

test('a zstd file of 50 frames is read whole', async (t) => {
  const parts = Array.from({ length: 50 }, (_, at) =>
    CONTENT.subarray(at * 1000, at * 1000 + 90_000),
  );
  const file = stored(t, Buffer.concat(parts.map((part) => zstdCompressSync(part))));
  const read = await readAll(file, '.zst');
  t.is(read.error, undefined);
  t.is(read.sha1, sha1(Buffer.concat(parts)));
});

test('zstd frames of every kind are read: empty, skippable, large, and of unknown size', async (t) => {
  const large = Buffer.concat([CONTENT, CONTENT, CONTENT, randomBytes(9 << 20)]);
  const skippable = Buffer.alloc(8 + 3_000_000);
  skippable.writeUInt32LE(0x184d2a57, 0);
  skippable.writeUInt32LE(3_000_000, 4);
  const frames = [zstdCompressSync(CONTENT), zstdCompressSync(Buffer.alloc(0)), skippable];
  frames.push(zstdCompressSync(large), zstdCompressSync(Buffer.alloc(20 << 20)));
  const parts = [CONTENT, large, Buffer.alloc(20 << 20)];
  if (isInstalled('zstd')) {
    for (const flags of [['-c'], ['-c', '--no-check'], ['-19', '-c']]) {
      const input = CONTENT.subarray(flags.length * 1000);
      frames.push(execFileSync('zstd', flags, { input, maxBuffer: 1 << 26 }));
      parts.push(input);
    }
  }
  frames.push(skippable, zstdCompressSync(CONTENT));
  parts.push(CONTENT);
  const read = await readAll(stored(t, Buffer.concat(frames)), '.zst');
  t.is(read.error, undefined);
  t.is(read.sha1, sha1(Buffer.concat(parts)));
});

test('zstd frames of several MiB that do not compress are read whole', async (t) => {
  const parts = [3, 1, 5, 7, 2, 2, 6].map((mib) => randomBytes(mib << 20));
  const file = stored(t, Buffer.concat(parts.map((part) => zstdCompressSync(part))));
  const { bytes, sha1: digest, error } = await readAll(file, '.zst');
  t.is(error, undefined);
  t.is(bytes, 26 << 20);
  t.is(digest, sha1(Buffer.concat(parts)));
});

test('a truncated last zstd frame is damage, and the frames before it are delivered', async (t) => {
  const frame = zstdCompressSync(CONTENT);
  for (const cut of [1, 3, 5, 1000, frame.length - 1, frame.length - 4]) {
    const whole = Buffer.concat([frame, frame, frame]);
    const read = await readAll(stored(t, whole.subarray(0, whole.length - cut)), '.zst');
    t.is(read.error?.code, 'segment-corrupt', `cut by ${cut}`);
    t.true(read.bytes >= 2 * CONTENT.length);
  }
});

test('a truncated streamed zstd frame is damage', async (t) => {
  const frame = zstdCompressSync(Buffer.concat([CONTENT, randomBytes(9 << 20)]));
  for (const cut of [1, 3, 100_000]) {
    const read = await readAll(stored(t, frame.subarray(0, frame.length - cut)), '.zst');
    t.is(read.error?.code, 'segment-corrupt', `cut by ${cut}`);
    t.true(read.bytes > 0);
  }
});

test('bytes that are no zstd frame are damage', async (t) => {
  const frame = zstdCompressSync(CONTENT);
  for (const tail of ['x', 'garbage', 'garbage that is longer than a header of a frame']) {
    const read = await readAll(stored(t, Buffer.concat([frame, Buffer.from(tail)])), '.zst');
    t.is(read.error?.code, 'segment-corrupt');
    t.is(read.bytes, CONTENT.length);
  }
  const random = await readAll(stored(t, randomBytes(100_000)), '.zst');
  t.is(random.error?.code, 'segment-corrupt');
});

test('a flipped byte in a zstd frame delivers what is before it', async (t) => {
  const parts = Array.from({ length: 4 }, () => randomBytes(2 << 20));
  const frames = Buffer.concat(parts.map((part) => zstdCompressSync(part)));
  // A byte of a block header in the third frame, so that the damage cannot be missed.
  frames.writeUInt8(0xff, frames.length - 2 * ((2 << 20) + 57) + 9);
  const read = await readAll(stored(t, frames), '.zst');
  t.is(read.error?.code, 'segment-corrupt');
  t.true(read.bytes >= 4 << 20);
});

test('gzip files of several members are read whole, truncated ones are damage', async (t) => {
  const whole = Buffer.concat([gzipSync(CONTENT), gzipSync(CONTENT)]);
  const read = await readAll(stored(t, whole), '.gz');
  t.is(read.error, undefined);
  t.is(read.sha1, sha1(Buffer.concat([CONTENT, CONTENT])));
  const cut = await readAll(stored(t, whole.subarray(0, whole.length - 10)), '.gz');
  t.is(cut.error?.code, 'segment-corrupt');
  t.true(cut.bytes >= CONTENT.length);
});

for (const [extension, program] of [
  ['.bz2', 'bzip2'],
  ['.xz', 'xz'],
  ['.lz4', 'lz4'],
] as const) {
  test(`${extension} files are read by a command`, async (t) => {
    if (!isInstalled(program)) {
      t.pass(`${program} is not installed`);
      return;
    }
    const filtered = execFileSync(program, ['-c'], { input: CONTENT, maxBuffer: 1 << 26 });
    const read = await readAll(stored(t, filtered), extension);
    t.is(read.error, undefined);
    t.is(read.sha1, sha1(CONTENT));
    const cut = await readAll(stored(t, filtered.subarray(0, filtered.length - 200)), extension);
    t.is(cut.error?.code, 'filter-failed');
  });
}

test('a command of the person wins over everything', async (t) => {
  const unfilters = new Map([
    ['.zst', 'tr a-z b-za'],
    ['.own', 'cat'],
  ]);
  const read = await readAll(stored(t, Buffer.from('abc')), '.zst', unfilters);
  t.is(read.sha1, sha1(Buffer.from('bcd')));
  t.is((await readAll(stored(t, CONTENT), '.own', unfilters)).sha1, sha1(CONTENT));
  t.deepEqual(wayBack('.own', { unfilters }), { kind: 'command', command: 'cat' });
  t.deepEqual(wayBack('.zst', {}), { kind: 'codec', extension: '.zst' });
  t.is(wayBack('.nope', {}), undefined);
});

test('of two extensions the last one is undone first, and no more than two are known', (t) => {
  const codec = { kind: 'codec', extension: '.zst' } as const;
  const gpg = { command: 'gpg --quiet --batch --decrypt' };
  t.deepEqual(wayBack('.zst.gpg', {}), { kind: 'decrypt', by: gpg, inner: codec });
  const unfilters = new Map([
    ['.gpg', 'mine'],
    ['.a.b', 'other'],
  ]);
  const by = { command: 'mine' };
  t.deepEqual(wayBack('.zst.gpg', { unfilters }), { kind: 'decrypt', by, inner: codec });
  const other = { kind: 'command', command: 'other' } as const;
  t.deepEqual(wayBack('.a.b.gpg', { unfilters }), { kind: 'decrypt', by, inner: other });
  const whole = new Map([['.zst.gpg', 'all']]);
  t.deepEqual(wayBack('.zst.gpg', { unfilters: whole }), { kind: 'command', command: 'all' });
  for (const extension of ['.gpg.gpg.gpg', '.zst.zst', '.gpg.zst', '.zst.gpg.gpg', '.no.gpg']) {
    t.is(wayBack(extension, {}), undefined, extension);
  }
});

test('a failing command is quoted with its last words', async (t) => {
  const words = 'head -c 100000 /dev/zero; echo block checksum wrong >&2; exit 2';
  const read = await readAll(stored(t, CONTENT), '.x', new Map([['.x', words]]));
  t.is(read.error?.code, 'filter-failed');
  t.is(read.bytes, 100_000);
  t.regex(read.error?.message ?? '', /exited with 2 \(last words: block checksum wrong\)/);
  const killed = await readAll(stored(t, CONTENT), '.x', new Map([['.x', 'kill -9 $$']]));
  t.regex(killed.error?.message ?? '', /was killed by SIGKILL/);
});

test('a key that is missing is told apart from damage', async (t) => {
  const unfilters = new Map([['.x', 'echo "decryption failed: No secret key" >&2; exit 2']]);
  const read = await readAll(stored(t, CONTENT), '.x', unfilters);
  t.is(read.error?.code, 'decryption-key');
});

test('a command that is not installed is named, and an unknown extension gives the option', async (t) => {
  const missing = await readAll(stored(t, CONTENT), '.x', new Map([['.x', 'no-such-program -dc']]));
  t.is(missing.error?.code, 'filter-missing');
  t.regex(missing.error?.hint ?? '', /"no-such-program"/);
  const unknown = await readAll(stored(t, CONTENT), '.x');
  t.is(unknown.error?.code, 'filter-missing');
  t.regex(unknown.error?.hint ?? '', /--unfilter=\.x=COMMAND/);
});

test('a command is killed when nobody wants the rest', async (t) => {
  const started = Date.now();
  for await (const chunk of unfilter(stored(t, CONTENT), '.x', {
    unfilters: new Map([['.x', 'echo $$; exec sleep 100']]),
  })) {
    const pid = Number(chunk.toString());
    t.true(pid > 0);
    break;
  }
  // Far less than the command sleeps, and enough for a machine with much else to do.
  t.true(Date.now() - started < 60_000);
});

test('an interrupt ends the reading', async (t) => {
  const controller = new AbortController();
  const error = await t.throwsAsync(
    async () => {
      for await (const chunk of unfilter(stored(t, CONTENT), '', { signal: controller.signal })) {
        t.true(chunk.length > 0);
        controller.abort();
      }
    },
    { instanceOf: LbsError },
  );
  t.is(error.code, 'interrupted');
});

test('an interrupt ends a command that says nothing', async (t) => {
  const controller = new AbortController();
  const { signal } = controller;
  const unfilters = new Map([['.x', 'exec sleep 100']]);
  const reading = unfilter(stored(t, CONTENT), '.x', { unfilters, signal }).next();
  setTimeout(() => controller.abort(), 50);
  await t.throwsAsync(reading, { code: 'interrupted' });
});
