/**
 * The ways in which one file of a store can be damaged: each is a named change of a directory that
 * is a copy of the store. Seeded, so that a point that failed can be tried again by its name.
 */
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { pseudoRandom } from './pseudo-random.ts';

export type FileKind = 'segment' | 'sha1sums' | 'sha256sums' | 'descriptor';

/** What a change of a file makes of the store. */
export type Outcome =
  /** Bytes are not what they were: that must be found. */
  | 'changed'
  /** The file is gone. */
  | 'deleted'
  /** There is a file more; nothing that a snapshot needs is touched. */
  | 'more';

export type Harm = {
  readonly how: string;
  readonly outcome: Outcome;
  /** Files of the store that are not as they were. */
  readonly files: readonly string[];
  readonly apply: (store: string) => void;
  /** Of flipped bits: the byte. */
  readonly at?: number;
  /** Of a file cut short: what is left. */
  readonly keptBytes?: number;
};

const TAR_BLOCK = 512;
const SEGMENT = /^([0-9a-f-]{36})\.tar(\..+)?$/;
const ZSTD_MAGIC = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
const ZSTD_SKIPPABLE = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]);

export function kindOf(file: string): FileKind | undefined {
  if (SEGMENT.test(file)) return 'segment';
  const ending = /^snapshot-.*\.(lbs|sha1sums|sha256sums)$/.exec(file)?.[1];
  if (ending === 'sha1sums' || ending === 'sha256sums') return ending;
  return ending === 'lbs' ? 'descriptor' : undefined;
}

/** A number below `limit` that the words decide. */
function below(limit: number, ...words: (string | number)[]): number {
  return pseudoRandom(words.join('/'), 4).readUInt32LE() % Math.max(1, limit);
}

/** A new file takes its place, since the copy's files are links to those of the store. */
function replace(store: string, file: string, bytes: Buffer): void {
  rmSync(join(store, file), { force: true });
  writeFileSync(join(store, file), bytes);
}

/** Where bits are flipped: at both ends, anywhere, and in each part of a tar file. */
function flipPlaces(file: string, bytes: Buffer, count: number): number[] {
  const { length } = bytes;
  const places = [0, 1 + below(15, file, 'head'), length - 1, length - 1 - below(12, file, 'tail')];
  for (let at = 0; at < count; at++) places.push(below(length, file, 'flip', at));
  if (file.endsWith('.tar')) {
    // Name, size, type and checksum of the first header; its content; and the end of the archive.
    places.push(40, 130, 150, 156, TAR_BLOCK + 3, length - TAR_BLOCK, length - TAR_BLOCK - 1);
  }
  return [...new Set(places.filter((at) => at >= 0 && at < length))];
}

function flips(file: string, bytes: Buffer, count: number): Harm[] {
  return flipPlaces(file, bytes, count).map((at) => {
    const changed = Buffer.from(bytes);
    const bit = below(8, file, at, 'bit');
    changed.writeUInt8((changed[at] ?? 0) ^ (1 << bit), at);
    const apply = (store: string) => replace(store, file, changed);
    return {
      how: `bit ${bit} of byte ${at} flipped`,
      outcome: 'changed',
      files: [file],
      apply,
      at,
    };
  });
}

function zeroed(file: string, bytes: Buffer): Harm[] {
  const { length } = bytes;
  const from = below(length, file, 'zero');
  const ranges: [number, number][] = [
    [0, 4],
    [0, Math.min(TAR_BLOCK, length)],
    [from, Math.min(length, from + 64)],
    [length >> 1, length],
    [0, length],
  ];
  return ranges.flatMap(([start, end]) => {
    const changed = Buffer.from(bytes).fill(0, start, end);
    if (changed.equals(bytes)) return [];
    const apply = (store: string) => replace(store, file, changed);
    return { how: `bytes ${start} to ${end} zeroed`, outcome: 'changed', files: [file], apply };
  });
}

/** Where a frame of zstd, or a member of a tar file, begins. */
function boundaries(file: string, bytes: Buffer): number[] {
  if (file.endsWith('.zst')) {
    const found: number[] = [];
    for (let at = bytes.indexOf(ZSTD_MAGIC, 1); at > 0; at = bytes.indexOf(ZSTD_MAGIC, at + 1)) {
      found.push(at);
    }
    return found.slice(0, 3);
  }
  if (!file.endsWith('.tar')) return [];
  const sizeBytes = parseInt(bytes.toString('latin1', 124, 135), 8);
  const second = TAR_BLOCK + Math.ceil(sizeBytes / TAR_BLOCK) * TAR_BLOCK;
  return [TAR_BLOCK, second, bytes.length - 2 * TAR_BLOCK];
}

function truncated(file: string, bytes: Buffer): Harm[] {
  const { length } = bytes;
  const cuts = new Set([0, length >> 1, length - 1, ...boundaries(file, bytes)]);
  return [...cuts]
    .filter((keptBytes) => keptBytes >= 0 && keptBytes < length)
    .map((keptBytes) => {
      const apply = (store: string) => replace(store, file, bytes.subarray(0, keptBytes));
      return {
        how: `cut to ${keptBytes} bytes`,
        outcome: 'changed',
        files: [file],
        apply,
        keptBytes,
      };
    });
}

function compressed(file: string, bytes: Buffer): Buffer {
  if (file.endsWith('.zst')) return zstdCompressSync(bytes);
  if (file.endsWith('.gz')) return gzipSync(bytes);
  if (file.endsWith('.bz2')) return spawnSync('bzip2', ['-c'], { input: bytes }).stdout;
  return bytes;
}

function extended(file: string, bytes: Buffer): Harm[] {
  const more: Record<string, Buffer> = {
    garbage: pseudoRandom(`${file}/more`, 100),
    zeros: Buffer.alloc(TAR_BLOCK),
    'a newline': Buffer.from('\n'),
    itself: bytes,
  };
  if (kindOf(file) === 'segment') {
    more['an empty frame'] = compressed(file, Buffer.alloc(0));
    more['a frame of zeros'] = compressed(file, Buffer.alloc(2 * TAR_BLOCK));
    if (file.endsWith('.zst')) more['a skippable frame'] = ZSTD_SKIPPABLE;
  }
  return Object.entries(more)
    .filter(([, added]) => added.length > 0)
    .map(([what, added]) => {
      const apply = (store: string) => replace(store, file, Buffer.concat([bytes, added]));
      return { how: `${what} added to its end`, outcome: 'changed', files: [file], apply };
    });
}

/** Names under which a copy could be taken for something. */
function copies(file: string): string[] {
  const [, segment = '', extension = ''] = SEGMENT.exec(file) ?? [];
  if (segment !== '') {
    return [
      `11111111-2222-4333-8444-555555555555.tar${extension}`,
      `${segment}.tar${extension}.bak`,
      ...['', '.gz', '.bz2', '.zst', '.xyz']
        .filter((other) => other !== extension)
        .map((other) => `${segment}.tar${other}`),
      `segments/${file}`,
    ];
  }
  const ending = file.slice(file.lastIndexOf('.'));
  return [`snapshot-20010101T000000${ending}`, `snapshot-home-20400101T000000${ending}`];
}

function copied(file: string, bytes: Buffer): Harm[] {
  return copies(file).map((name) => ({
    how: `a copy of it is called ${name}`,
    outcome: kindOf(file) === 'descriptor' ? 'changed' : 'more',
    files: [name],
    apply: (store) => {
      if (name.includes('/')) mkdirSync(join(store, 'segments'));
      writeFileSync(join(store, name), bytes);
    },
  }));
}

function swapped(store: string, file: string, others: readonly string[]): Harm[] {
  const kind = kindOf(file);
  const isOther = (other: string) => other !== file && kindOf(other) === kind;
  return others
    .filter(isOther)
    .slice(0, 2)
    .flatMap((other) => {
      if (readFileSync(join(store, file)).equals(readFileSync(join(store, other)))) return [];
      const apply = (at: string) => {
        renameSync(join(at, file), join(at, 'aside'));
        renameSync(join(at, other), join(at, file));
        renameSync(join(at, 'aside'), join(at, other));
      };
      const over = (at: string) => {
        rmSync(join(at, file));
        copyFileSync(join(at, other), join(at, file));
      };
      return [
        { how: `swapped with ${other}`, outcome: 'changed', files: [file, other], apply },
        { how: `replaced by ${other}`, outcome: 'changed', files: [file], apply: over },
      ] as const;
    });
}

/** Every damage to a file of a store; `flipCount` bits at random places and some at chosen ones. */
export function harmsOf(
  store: string,
  file: string,
  all: readonly string[],
  flipCount = 8,
): Harm[] {
  const bytes = readFileSync(join(store, file));
  const harms: Harm[] = [
    ...flips(file, bytes, flipCount),
    ...zeroed(file, bytes),
    ...truncated(file, bytes),
    ...extended(file, bytes),
    ...swapped(store, file, all),
    ...copied(file, bytes),
    { how: 'deleted', outcome: 'deleted', files: [file], apply: (at) => rmSync(join(at, file)) },
  ];
  return harms;
}

/** A copy of a store that costs no room, for `apply`, which never writes into a file. */
export function linkedCopy(store: string, to: string): void {
  if (existsSync(to)) rmSync(to, { recursive: true });
  const { status, stderr } = spawnSync('cp', ['-al', store, to], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`cp -al: ${stderr}`);
}
