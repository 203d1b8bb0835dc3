/**
 * What of some directories a power cut leaves, on the worst filesystem that the rules allow: of a
 * file what it held when it was last synced, nothing of one that never was.
 *
 * Names come in three kinds, since filesystems differ: `late` are those that a directory had when it
 * was last synced itself; `early` are those that it has now, as if its journal had been written just
 * before the power went, and no contents with it; `newest` are the late ones and the last change of
 * all, as where changes are not written in their order. Followed call by call, as the fault seam
 * tells.
 */
import { spawnSync } from 'node:child_process';
import {
  type BigIntStats,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import type { Call } from './faults.ts';

export type NameKind = 'late' | 'early' | 'newest';

type Entry = {
  readonly key: string;
  readonly type: 'file' | 'directory' | 'link' | 'other';
  readonly link?: string;
};
type Listing = ReadonlyMap<string, Entry>;

/** Calls after which other names may be there. */
const NAMES_CHANGE =
  /^(open|openat|openat2|creat|rename.*|link.*|symlink.*|unlink.*|rmdir|mkdir.*|mknod.*)$/;

/** Numbers of inodes are given again; times of birth are not. */
function keyOf(status: BigIntStats): string {
  return `${status.ino}/${status.birthtimeNs}`;
}

function entryOf(path: string): Entry {
  const status = lstatSync(path, { bigint: true });
  const key = keyOf(status);
  if (status.isDirectory()) return { key, type: 'directory' };
  if (status.isFile()) return { key, type: 'file' };
  if (status.isSymbolicLink()) return { key, type: 'link', link: readlinkSync(path) };
  return { key, type: 'other' };
}

function listingOf(dir: string): Listing {
  return new Map(readdirSync(dir).map((name) => [name, entryOf(join(dir, name))]));
}

/** `cp -a` of a directory; what lay in `to` before is gone. */
export function copyDirectory(from: string, to: string): void {
  rmSync(to, { recursive: true, force: true });
  const { status, stderr } = spawnSync('cp', ['-a', from, to], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`cp -a ${from} ${to}: ${stderr}`);
}

/** Nothing but zeros are a hole, since that is what trees of these tests have of them. */
function writeContent(path: string, content: Buffer | undefined): void {
  if (content === undefined) return writeFileSync(path, '');
  const isHole = content.every((byte) => byte === 0);
  writeFileSync(path, isHole ? '' : content);
  if (isHole) truncateSync(path, content.length);
}

/** What a sync that has begun will have made durable when it ends well. */
type Pending = () => void;

export class DurableState {
  readonly #directories: readonly string[];
  readonly #scratch: string;
  readonly #content = new Map<string, Buffer>();
  readonly #listings = new Map<string, Listing>();
  /** Directories in which nothing happened since the whole filesystem was synced: a copy of each. */
  readonly #whole = new Set<string>();
  #pending: Pending | undefined;
  #newest: Call | undefined;

  /** As they are now is durable; one that is not there yet, too. `scratch` is for copies. */
  constructor(directories: readonly string[], scratch: string) {
    this.#directories = directories;
    this.#scratch = scratch;
    mkdirSync(scratch, { recursive: true });
    for (const dir of directories) this.#remember(dir);
  }

  #remember(path: string): void {
    const status = lstatSync(path, { bigint: true, throwIfNoEntry: false });
    if (status?.isFile() === true) this.#content.set(keyOf(status), readFileSync(path));
    if (status?.isDirectory() !== true) return;
    const listing = listingOf(path);
    this.#listings.set(keyOf(status), listing);
    for (const name of listing.keys()) this.#remember(join(path, name));
  }

  /** To be told of each call before it is made. */
  before(call: Call): void {
    this.#pending = undefined;
    if (/^(fsync|fdatasync|syncfs)$/.test(call.name)) this.#pending = this.#sync(call);
    else for (const dir of this.#changed(call)) this.#whole.delete(dir);
  }

  #changed(call: Call): string[] {
    const isIn = (dir: string, path: string) => path === dir || path.startsWith(`${dir}/`);
    return this.#directories.filter((dir) => isIn(dir, call.path) || isIn(dir, call.path2));
  }

  #sync({ name, process, fd }: Call): Pending {
    if (name === 'syncfs') {
      return () => {
        for (const dir of this.#directories) {
          if (lstatSync(dir, { throwIfNoEntry: false }) === undefined) continue;
          this.#remember(dir);
          copyDirectory(dir, join(this.#scratch, basename(dir)));
          this.#whole.add(dir);
        }
      };
    }
    const path = `/proc/${process}/fd/${fd}`;
    const status = statSync(path, { bigint: true });
    // Taken now: what is written while the sync runs need not be in it.
    if (status.isDirectory()) {
      const listing = listingOf(path);
      return () => this.#listings.set(keyOf(status), listing);
    }
    const content = readFileSync(path);
    return () => this.#content.set(keyOf(status), content);
  }

  /** To be told what the call returned; which kinds of names may now be others than before. */
  after(call: Call, result: number): readonly NameKind[] {
    if (result < 0) return [];
    const pending = this.#pending;
    this.#pending = undefined;
    pending?.();
    if (pending) return ['late', 'early'];
    if (!NAMES_CHANGE.test(call.name)) return [];
    this.#newest = call;
    return ['early', 'newest'];
  }

  /** Makes below `base` what a power cut now would leave of the directories, under their names. */
  writeTo(base: string, names: NameKind): void {
    for (const dir of this.#directories) {
      const to = join(base, basename(dir));
      if (this.#whole.has(dir)) copyDirectory(join(this.#scratch, basename(dir)), to);
      else if (names === 'early') this.#writeEarly(dir, to);
      else this.#writeLate(dir, to);
    }
    if (names === 'newest' && this.#newest) this.#apply(this.#newest, base);
  }

  /** Does again what a call did to names. */
  #apply({ name, path, path2 }: Call, base: string): void {
    const copyOf = (original: string) => {
      const dir = this.#directories.find((one) => original.startsWith(`${one}/`));
      return dir === undefined ? undefined : join(base, basename(dir), relative(dir, original));
    };
    const old = copyOf(path);
    if (/^(unlink|rmdir|rename)/.test(name) && old !== undefined) {
      rmSync(old, { recursive: true, force: true });
    }
    const made = path2 === '' ? path : path2;
    const status = lstatSync(made, { bigint: true, throwIfNoEntry: false });
    const to = copyOf(made);
    // What lies in a directory that is not there cannot be there either.
    if (to === undefined || status?.isFile() !== true || !existsSync(dirname(to))) return;
    writeContent(to, this.#content.get(keyOf(status)));
  }

  #writeLate(dir: string, to: string): void {
    const status = lstatSync(dir, { bigint: true, throwIfNoEntry: false });
    // Whoever made the directory itself had to sync the one above; nobody asks for that here.
    if (status !== undefined) this.#writeListing(keyOf(status), to);
  }

  #writeListing(key: string, to: string): void {
    mkdirSync(to, { recursive: true });
    for (const [name, entry] of this.#listings.get(key) ?? []) {
      const path = join(to, name);
      if (entry.type === 'directory') this.#writeListing(entry.key, path);
      else if (entry.type === 'link') symlinkSync(entry.link ?? '', path);
      else if (entry.type === 'file') writeContent(path, this.#content.get(entry.key));
    }
  }

  #writeEarly(dir: string, to: string): void {
    if (lstatSync(dir, { throwIfNoEntry: false }) === undefined) return;
    copyDirectory(dir, to);
    this.#forgetUnsynced(dir, to);
  }

  #forgetUnsynced(dir: string, to: string): void {
    for (const [name, { key, type }] of listingOf(dir)) {
      const path = join(to, name);
      if (type === 'directory') this.#forgetUnsynced(join(dir, name), path);
      if (type !== 'file') continue;
      const status = statSync(path);
      writeContent(path, this.#content.get(key));
      // The time is in the inode, and may be there without the bytes.
      utimesSync(path, status.atime, status.mtime);
    }
  }
}
