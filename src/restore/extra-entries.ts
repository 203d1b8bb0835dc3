/**
 * `--delete`: what is in restored directories of the target and is not in the snapshot.
 *
 *     findExtra      while planning: the exact list of what will go, and nothing else will
 *     deleteExtra    before anything is written: makes room and clears the way
 *
 * Left alone are: what the rules and markers of the backup leave out, with the rule files of the
 * target (target-rules.ts); the store and other places of the backup itself; the undo directory; what
 * the backup could not read; mount points, with all below them, where the snapshot has nothing (a
 * backup may have stopped there on purpose); and a directory that holds any of these.
 *
 * Invariant: only names that were listed are removed, each by itself, and a directory only when it
 * is empty. What appears meanwhile stays.
 */
import type Database from 'better-sqlite3';
import { errnoName } from '../errors.ts';
import { type FileStatus, statusIfAny, statusOf } from '../posix/file-status.ts';
import * as libc from '../posix/libc.ts';
import { isLocalState } from '../sources/filesystem/own-files.ts';
import { isCacheTag } from '../sources/filesystem/place-rules.ts';
import { sortedNames } from '../posix/directory-names.ts';
import { isTop, isWithin, showPath } from '../std/byte-path.ts';
import { openScratchDatabase } from '../std/scratch-database.ts';
import type { EntrySelection } from './entry-selection.ts';
import type { RestoreTally } from './restore-tally.ts';
import { TargetRules } from './target-rules.ts';
import type { OwnPlaces } from './own-places.ts';
import { openDirectory } from './safe-target.ts';
import { NAME, type NamedDirectory, type TargetNames } from './target-names.ts';
import type { TargetTree } from './target-tree.ts';
import { isLeftover } from './leftovers.ts';
import { targetTrouble } from './target-trouble.ts';

const CACHE_KIB = 4 * 1024;
const BATCH_ROWS = 500;
const DISK_SECTOR_BYTES = 512;
const SLASH = Buffer.from('/');
/** `whole`: the top of what can be taken away in one piece. */
const SCHEMA = `
  create table extra (path blob primary key, directory integer not null, whole integer not null)
    without rowid;
`;

export type ExtraEntry = {
  readonly path: Buffer;
  readonly directory: number;
  readonly whole: number;
};

/** The list of what is to be deleted. */
export class ExtraEntries {
  readonly #db: Database.Database;
  readonly #add;
  readonly #setWhole;
  readonly #has;
  count = 0;
  /** Bytes that become free. */
  freedBytes = 0;

  constructor() {
    this.#db = openScratchDatabase(SCHEMA, CACHE_KIB);
    this.#add = this.#db.prepare<[Buffer, number]>('insert into extra values (?, ?, 0)');
    this.#has = this.#db.prepare<[Buffer], number>('select 1 from extra where path = ?').pluck();
    this.#setWhole = this.#db.prepare<[Buffer]>('update extra set whole = 1 where path = ?');
  }

  add(path: Buffer, status: FileStatus): void {
    this.#add.run(path, status.type === 'd' ? 1 : 0);
    this.count++;
    if (status.type === 'd' || status.links > 1) return;
    this.freedBytes += status.blocks * DISK_SECTOR_BYTES;
  }

  has(path: Buffer): boolean {
    return this.#has.get(path) !== undefined;
  }

  setWhole(path: Buffer): void {
    this.#setWhole.run(path);
  }

  /** In order of bytes, in which a directory is before what is in it. */
  *inOrder(): Generator<ExtraEntry> {
    yield* this.#pages('select * from extra where path > ? order by path', Buffer.alloc(0));
  }

  /** What is in a directory before the directory. */
  *fromBelow(): Generator<ExtraEntry> {
    const last = this.#db.prepare<[], Buffer | null>('select max(path) from extra').pluck().get();
    if (!last) return;
    const pastLast = Buffer.concat([last, SLASH]);
    yield* this.#pages('select * from extra where path < ? order by path desc', pastLast);
  }

  close(): void {
    this.#db.close();
  }

  *#pages(sql: string, from: Buffer): Generator<ExtraEntry> {
    const next = this.#db.prepare<[Buffer], ExtraEntry>(`${sql} limit ${BATCH_ROWS}`);
    for (let at = from; ;) {
      const rows = next.all(at);
      yield* rows;
      const end = rows.at(-1);
      if (end === undefined) return;
      at = end.path;
    }
  }
}

export type DeleteRules = {
  readonly names: TargetNames;
  readonly selection: EntrySelection;
  readonly own: OwnPlaces;
  /** Paths of the snapshot that were backed up with all that is in them; undefined: unknown. */
  readonly complete: readonly Buffer[] | undefined;
  /** Paths of the snapshot that are not in it because they could not be read. */
  readonly unread: readonly Buffer[];
  /** What keeps a backup out of the directory that it is in: names, and the tags of caches. */
  readonly markers: { readonly names: readonly Buffer[]; readonly caches: boolean };
};

/** Lists what is to be deleted; changes nothing. @throws {LbsError} io, interrupted */
export async function findExtra(
  extra: ExtraEntries,
  tree: TargetTree,
  rules: DeleteRules,
  tally: RestoreTally,
): Promise<void> {
  const finder = new ExtraFinder(extra, tree, rules, tally);
  const inTarget = new TargetRules(tree, rules.selection, tally);
  rules.selection.askTree((path, use) => inTarget.within(path, use));
  const { names } = rules;
  for (const directory of names.directories()) await finder.lookInto(directory);
  for (const directory of names.replacedDirectories()) await finder.lookAt(directory);
}

class ExtraFinder {
  readonly #extra: ExtraEntries;
  readonly #tree: TargetTree;
  readonly #rules: DeleteRules;
  readonly #tally: RestoreTally;
  readonly #told = new Set<Buffer>();

  constructor(extra: ExtraEntries, tree: TargetTree, rules: DeleteRules, tally: RestoreTally) {
    this.#extra = extra;
    this.#tree = tree;
    this.#rules = rules;
    this.#tally = tally;
  }

  async lookInto(directory: NamedDirectory): Promise<void> {
    const { names, complete } = this.#rules;
    const { path, source } = directory;
    // Of a snapshot of /home/ann, / and /home are there, but not with all that was in them.
    if (complete?.every((root) => !isWithin(source, root)) === true) return;
    const status = this.#statusOf(path);
    if (status === undefined || this.#isWithinOwn(path)) return;
    const isOther = path.length > 0 && status.device !== this.#statusOf(above(path))?.device;
    const isMount = isOther || (path.length > 0 && status.isMountPoint);
    if (isMount && !names.hasBelow(path)) {
      this.#tally.note(
        `nothing is deleted in ${path.toString()}: a file system is mounted there, of which the snapshot has nothing`,
      );
      return;
    }
    for (const name of this.#names(path, status) ?? []) {
      // Another restore may be working on it; leftovers.ts finds out.
      if (isLeftover(name)) continue;
      const child = { path: below(path, name), source: below(directory.source, name) };
      const kind = names.kindOf(child.path);
      if (kind === NAME.kept || kind === NAME.left || kind === NAME.directory) continue;
      const found = this.#statusIn(path, name);
      // What the snapshot has here is replaced, unless a directory is in its place.
      if (found === undefined || (kind !== undefined && found.type !== 'd')) continue;
      if (await this.#takeAll(child, found, status.device)) this.#extra.setWhole(child.path);
      await this.#tally.rest();
    }
  }

  /** A directory in the place of something that was asked for by its name. */
  async lookAt(directory: NamedDirectory): Promise<void> {
    const { path } = directory;
    const parent = above(path);
    // Else it was found in that directory.
    if (this.#rules.names.kindOf(parent) === NAME.directory || this.#isWithinOwn(path)) return;
    const [status, around] = [this.#statusOf(path), this.#statusOf(parent)];
    if (status === undefined || around === undefined) return;
    if (await this.#takeAll(directory, status, around.device)) this.#extra.setWhole(path);
  }

  /** Lists an entry and all below it; false when something of it has to stay. */
  async #takeAll(entry: NamedDirectory, status: FileStatus, device: string): Promise<boolean> {
    const isDirectory = status.type === 'd';
    const { selection, own } = this.#rules;
    if (selection.isExcluded(entry.source, isDirectory)) return false;
    if (this.#isUnread(entry.source)) return false;
    if (status.device !== device || status.isMountPoint || own.isOwn(status)) return false;
    // A backup leaves these out by their names, wherever its local database is.
    if (isLocalState(entry.path.toString('latin1', entry.path.lastIndexOf(SLASH) + 1)))
      return false;
    if (isDirectory && !(await this.#takeContents(entry, status))) return false;
    this.#extra.add(entry.path, status);
    return true;
  }

  /** True, with a note, for what the backup could not read: it never was in a snapshot. */
  #isUnread(source: Buffer): boolean {
    const path = this.#rules.unread.find((unread) => isWithin(source, unread));
    if (path === undefined) return false;
    if (!this.#told.has(path)) {
      this.#told.add(path);
      this.#tally.note(
        isTop(path)
          ? 'nothing is deleted: the snapshot may lack what could not be read, and does not say what that was'
          : `what is at ${showPath(path)} is kept: it could not be read when the snapshot was made`,
      );
    }
    return true;
  }

  async #takeContents({ path, source }: NamedDirectory, status: FileStatus): Promise<boolean> {
    const taken: Buffer[] = [];
    const names = this.#names(path, status);
    let isAll = names !== undefined && !this.#rules.own.willHoldOne(status);
    for (const name of names ?? []) {
      const found = this.#statusIn(path, name);
      if (found === undefined) continue;
      const child = { path: below(path, name), source: below(source, name) };
      if (await this.#takeAll(child, found, status.device)) taken.push(child.path);
      else isAll = false;
      await this.#tally.rest();
    }
    if (!isAll) for (const each of taken) this.#extra.setWhole(each);
    return isAll;
  }

  /** Undefined for a directory of which all stays; with a warning where it cannot be listed. */
  #names(path: Buffer, status: FileStatus): Buffer[] | undefined {
    try {
      // A handle of its own: listing moves the position of the shared one.
      const fd = openDirectory(this.#tree.directory(path).fd, libc.cString('.'));
      try {
        const now = statusOf(fd);
        if (now.inode !== status.inode || now.device !== status.device) return undefined;
        const names = sortedNames(fd).map((name) => Buffer.from(name, 'latin1'));
        return this.#isMarked(fd, names) ? undefined : names;
      } finally {
        libc.close(fd);
      }
    } catch (error) {
      const { code, message } = targetTrouble(path, error);
      this.#tally.warn(code, path, `nothing is deleted in it: ${message}`);
      return undefined;
    }
  }

  #isMarked(fd: number, names: readonly Buffer[]): boolean {
    const { markers } = this.#rules;
    if (markers.caches && isCacheTag(fd)) return true;
    return markers.names.length > 0 && names.some((name) => isAmong(markers.names, name));
  }

  #statusIn(directory: Buffer, name: Buffer): FileStatus | undefined {
    try {
      return statusIfAny(this.#tree.directory(directory).fd, libc.cString(name));
    } catch (error) {
      if (errnoName(error) === undefined) throw error;
      // The directory went away meanwhile, and with it what was to be deleted.
      return undefined;
    }
  }

  /** True for a place of the backup itself, and for what is below one. */
  #isWithinOwn(path: Buffer): boolean {
    for (let at = path; ; at = above(at)) {
      const status = this.#statusOf(at);
      if (status !== undefined && this.#rules.own.isOwn(status)) return true;
      if (at.length === 0) return false;
    }
  }

  #statusOf(path: Buffer): FileStatus | undefined {
    if (path.length === 0) return statusOf(this.#tree.topFd);
    const status = this.#tree.look(path, (_, found) => found);
    return status?.type === 'd' ? status : undefined;
  }
}

function isAmong(names: readonly Buffer[], name: Buffer): boolean {
  return names.some((each) => each.equals(name));
}

/** The directory that holds `path`; `''` is the target. */
function above(path: Buffer): Buffer {
  return path.subarray(0, Math.max(0, path.lastIndexOf(SLASH[0] ?? 0)));
}

function below(directory: Buffer, name: Buffer): Buffer {
  return directory.length === 0 ? name : Buffer.concat([directory, SLASH, name]);
}

/** Deletes what was listed, or moves it to the undo directory. @throws {LbsError} io, interrupted */
export async function deleteExtra(
  extra: ExtraEntries,
  tree: TargetTree,
  tally: RestoreTally,
): Promise<void> {
  if (tree.undo === undefined) {
    for (const entry of extra.fromBelow()) {
      attempt(tally, entry.path, () => tree.remove(entry.path, entry.directory === 1));
      await tally.rest();
    }
    return;
  }
  // Between `a` and `a/b` comes `a.b`: all that the present path begins with are remembered.
  let moved: Buffer[] = [];
  for (const { path, whole } of extra.inOrder()) {
    moved = moved.filter((each) => path.subarray(0, each.length).equals(each));
    if (whole === 1) {
      if (attempt(tally, path, () => tree.moveAway(path))) moved.push(path);
    } else if (moved.some((each) => isBelow(path, each))) tally.deleted(path);
    await tally.rest();
  }
}

function isBelow(path: Buffer, above: Buffer): boolean {
  return path[above.length] === SLASH[0] && path.subarray(0, above.length).equals(above);
}

function attempt(tally: RestoreTally, path: Buffer, action: () => void): boolean {
  try {
    action();
    tally.deleted(path);
    return true;
  } catch (error) {
    // Gone already, which was wanted.
    if (errnoName(error) === 'ENOENT') return true;
    const { code, message } = targetTrouble(path, error);
    tally.warn(code, path, message);
    return false;
  }
}
