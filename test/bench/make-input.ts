/**
 * What is backed up: a tree from what a Debian machine has, two big files, tiny files, a database.
 * The same machine makes the same input each time.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { PROJECT, type Sizes } from './settings.ts';

const OUTPUT_MAX_BYTES = 1e9;
/** Of the entries and bytes of the tree; the rest is for trees of programming languages. */
const SHARE_PART = 0.45;
const INCLUDE_PART = 0.15;
/** One file of a tree has at most this part of its bytes, so that no tree is one large file. */
const LARGEST_FILE_PART = 0.03;

/** Folders that a language brings, the largest first; unlike data they are mostly small texts. */
function languageTrees(): string[] {
  const found = readdirSync('/usr/lib')
    .filter((name) => /^(python3|jvm$|node_modules$|ruby$|go-|llvm-|gcc$|perl)/.test(name))
    .map((name) => join('/usr/lib', name));
  const others = [join(PROJECT, 'node_modules'), '/usr/local', '/opt', '/usr/lib', '/usr/src'];
  const sized = found.map((dir) => ({ dir, entries: listEntries(dir).length }));
  const sorted = sized.toSorted((a, b) => b.entries - a.entries).map(({ dir }) => dir);
  return [...sorted, ...others.filter((dir) => existsSync(dir))];
}

type Listed = { readonly sizeBytes: number; readonly type: string; readonly path: Buffer };

/** What is below `dir` on its file system and can be read, in the order of names. */
function listEntries(dir: string): Listed[] {
  const shown = execFileSync(
    'bash',
    ['-c', `find . -xdev -mindepth 1 -readable -printf '%s %y %p\\0' | LC_ALL=C sort -z -k 3`],
    { cwd: dir, maxBuffer: OUTPUT_MAX_BYTES },
  );
  return splitAtNul(shown).map((record) => {
    const sizeEnd = record.indexOf(' ');
    return {
      sizeBytes: Number(record.toString('latin1', 0, sizeEnd)),
      type: record.toString('latin1', sizeEnd + 1, sizeEnd + 2),
      path: record.subarray(sizeEnd + 3),
    };
  });
}

function splitAtNul(bytes: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let start = 0; start < bytes.length;) {
    const end = bytes.indexOf(0, start);
    parts.push(bytes.subarray(start, end));
    start = end + 1;
  }
  return parts;
}

type Budget = { entries: number; bytes: number };

/** Copies the first entries of `from` that fit into `most`; answers what they came to. */
function copySome(from: string, to: string, most: Budget, largestBytes: number): Budget {
  const taken: Buffer[] = [];
  const used: Budget = { entries: 0, bytes: 0 };
  for (const { path, type, sizeBytes } of listEntries(from)) {
    if (!'fdl'.includes(type)) continue;
    const size = type === 'f' ? sizeBytes : 0;
    if (size > largestBytes || used.bytes + size > most.bytes) continue;
    if (used.entries === most.entries) break;
    used.entries++;
    used.bytes += size;
    taken.push(path, Buffer.from([0]));
  }
  mkdirSync(to, { recursive: true });
  // Files may vanish on a busy machine; what has arrived is counted, not what was asked for.
  spawnSync('bash', ['-c', 'tar cf - --null --no-recursion -T - | tar xf - -C "$0"', to], {
    cwd: from,
    input: Buffer.concat(taken),
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  return used;
}

/** Makes a tree in the new directory `dir`, of as much as the machine has up to the sizes. */
export function makeTree(dir: string, sizes: Pick<Sizes, 'treeEntries' | 'treeBytes'>): void {
  const left: Budget = { entries: sizes.treeEntries, bytes: sizes.treeBytes };
  const largest = sizes.treeBytes * LARGEST_FILE_PART;
  const add = (from: string, name: string, most: Budget): void => {
    const used = copySome(from, join(dir, name), most, largest);
    left.entries -= used.entries;
    left.bytes -= used.bytes;
  };
  const part = (share: number): Budget => ({
    entries: Math.floor(sizes.treeEntries * share),
    bytes: sizes.treeBytes * share,
  });
  if (existsSync('/usr/share')) add('/usr/share', 'share', part(SHARE_PART));
  if (existsSync('/usr/include')) add('/usr/include', 'include', part(INCLUDE_PART));
  const seen: string[] = [];
  for (const from of languageTrees()) {
    if (left.entries <= 0 || left.bytes <= 0) break;
    // /usr/lib as the last resort holds what was copied already.
    if (seen.some((other) => other.startsWith(`${from}/`))) continue;
    add(from, `lang/${seen.push(from)}`, left);
  }
}

/** Copies a given tree, since the benchmark changes it. */
export function copyTree(from: string, to: string): void {
  execFileSync('cp', ['-a', '--', `${from}/.`, to]);
}

export function treeSize(dir: string): { entries: number; files: number; bytes: number } {
  const entries = listEntries(dir);
  const files = entries.filter(({ type }) => type === 'f');
  const bytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return { entries: entries.length, files: files.length, bytes };
}

/** Regular files below `dir` in order of names, as paths relative to `dir`. */
export function filesIn(dir: string): { readonly path: Buffer; readonly sizeBytes: number }[] {
  return listEntries(dir).filter(({ type }) => type === 'f');
}

/**
 * Appends a line to every `step`th file, another set in each round; answers their paths.
 * Appending does not need a new name, as when a program adds to its data.
 */
export function changeFiles(dir: string, step: number, round: number): Buffer[] {
  const changed = filesIn(dir)
    .filter((_, index) => index % step === round % step)
    .map(({ path }) => path);
  for (const path of changed) {
    const whole = Buffer.concat([Buffer.from(`${dir}/`), path]);
    appendFileSync(whole, `changed in round ${round}\n`);
  }
  return changed;
}

const PIECE_BYTES = 1 << 24;

/** Bytes that do not compress. */
export function makeRandomFile(path: string, sizeBytes: number): void {
  writePieces(path, sizeBytes, (index) => pseudoRandom(`random ${index}`, PIECE_BYTES));
}

/** Words of eight letters, some more common than others; zstd makes about a quarter of it. */
export function makeTextFile(path: string, sizeBytes: number): void {
  const letters = pseudoRandom('words', 1024 * 8).map((byte) => 97 + (byte % 26));
  for (let at = 7; at < letters.length; at += 8) letters[at] = at % 80 === 7 ? 10 : 32;
  const words = new Uint32Array(letters.buffer, letters.byteOffset, letters.length / 4);
  writePieces(path, sizeBytes, (index) => {
    const drawn = pseudoRandom(`text ${index}`, PIECE_BYTES / 2);
    const text = new Uint32Array(PIECE_BYTES / 4);
    for (let at = 0; at < text.length; at += 2) {
      // The smaller of two numbers, so that low ones are drawn more often.
      const word = Math.min(
        drawn.readUInt16LE(at * 2) & 1023,
        drawn.readUInt16LE(at * 2 + 2) & 1023,
      );
      text[at] = words[word * 2] ?? 0;
      text[at + 1] = words[word * 2 + 1] ?? 0;
    }
    return Buffer.from(text.buffer);
  });
}

function writePieces(path: string, sizeBytes: number, piece: (index: number) => Buffer): void {
  const fd = openSync(path, 'w');
  for (let index = 0, left = sizeBytes; left > 0; index++, left -= PIECE_BYTES) {
    writeSync(fd, piece(index), 0, Math.min(left, PIECE_BYTES));
  }
  closeSync(fd);
}

const TINY_PER_DIRECTORY = 1000;

/** `count` files of some 20 different bytes each. */
export function makeTinyFiles(dir: string, count: number): void {
  for (let index = 0; index < count; index++) {
    const sub = join(dir, `d${Math.floor(index / TINY_PER_DIRECTORY)}`);
    if (index % TINY_PER_DIRECTORY === 0) mkdirSync(sub, { recursive: true });
    writeFileSync(join(sub, `file-${index}`), `tiny file number ${index}\n`);
  }
}

/** `count` files of `sizeBytes` that do not compress and are all different. */
export function makeRandomFiles(dir: string, count: number, sizeBytes: number): void {
  for (let index = 0; index < count; index++) {
    const sub = join(dir, `d${Math.floor(index / TINY_PER_DIRECTORY)}`);
    if (index % TINY_PER_DIRECTORY === 0) mkdirSync(sub, { recursive: true });
    writeFileSync(join(sub, `file-${index}`), pseudoRandom(`file ${index}`, sizeBytes));
  }
}

const ROW_BYTES = 400;

/** A database as programs keep them: numbered rows of text, with an index. */
export function makeDatabase(path: string, sizeBytes: number): void {
  const database = new Database(path);
  database.pragma('journal_mode = off');
  database.exec('CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, body TEXT)');
  const insert = database.prepare('INSERT INTO item (name, body) VALUES (?, ?)');
  database.transaction(() => {
    for (let id = 0; id < sizeBytes / (ROW_BYTES * 1.15); id++) {
      // Hexadecimal, so that half of it compresses.
      insert.run(`item ${id}`, pseudoRandom(`row ${id}`, ROW_BYTES / 2).toString('hex'));
    }
  })();
  database.exec('CREATE INDEX by_name ON item (name)');
  database.close();
}

/** Changes so many rows, evenly spread and none of them in size. */
export function changeDatabase(path: string, places: number): void {
  const database = new Database(path);
  const rows = database.prepare<[], { count: number }>('SELECT count(*) AS count FROM item').get();
  const update = database.prepare('UPDATE item SET body = ? WHERE id = ?');
  const step = (rows?.count ?? 0) / places;
  for (let place = 0; place < places; place++) {
    const body = pseudoRandom(`changed ${place}`, ROW_BYTES / 2).toString('hex');
    update.run(body, 1 + Math.floor((place + 0.5) * step));
  }
  database.close();
}

/** The sum of all files of a store, as `du` would count them if blocks had no size. */
export function storeBytes(dir: string): number {
  const names = readdirSync(dir, { recursive: true, encoding: 'utf8' });
  const files = names.map((name) => statSync(join(dir, name))).filter((status) => status.isFile());
  return files.reduce((sum, { size }) => sum + size, 0);
}
