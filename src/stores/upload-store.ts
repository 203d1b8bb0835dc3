/**
 * A store that files can only be given to: a script of the user's takes each of them from a staging
 * directory to wherever the store is.
 *
 * What the store has is what this machine remembers of it (`StoreMemory`): names and sizes are
 * believed. A file counts as stored when the script has said so, and only then is it remembered.
 * The name of a descriptor is remembered before, so that it is never used for a second one.
 */
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  renameSync,
  statfsSync,
  unlinkSync,
  openSync,
  fstatSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { LbsError, messageOf } from '../errors.ts';
import { parseSegmentFile, parseSnapshotFile } from '../format/snapshot-name.ts';
import { newUuid, nowSeconds } from '../std/clock.ts';
import { shownCommand } from '../std/shown-command.ts';
import { rememberStaging, removeStaging } from '../std/staging-directories.ts';
import { STAGED_PREFIX } from './staged-file.ts';
import { stagingError } from './store-error.ts';
import type { OpenFile, StagedFile, Store, StoreMemory, StoredFile } from './store.ts';
import { UploadCalls } from './upload-calls.ts';
import { UploadStream } from './upload-stream.ts';
import type { UploadOptions } from './upload-options.ts';
import type { UploadType, Uploader } from './uploader.ts';

const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;
/** Only what has such a name is removed after a killed run. */
const STAGING_NAME = /\/lbs\.[0-9a-f]{8}-[0-9a-f-]{27}$/;

/** What kind of file the old programs would have said it is. */
function typeOf(name: string): UploadType {
  if (parseSegmentFile(name) !== undefined) return 'segments';
  const kind = parseSnapshotFile(name)?.kind;
  return kind === 'sha1sums' || kind === 'sha256sums' ? 'checksums' : 'snapshots';
}

/** The store that a script fills; nothing is started or written before `begin`. */
export function openUploadStore({ command, protocol, tmpdir: base }: UploadOptions): UploadStore {
  if (command.trim() === '') throw new LbsError('usage', 'the upload script is an empty command');
  const uploader = protocol === 'call' ? new UploadCalls(command) : new UploadStream(command);
  return new UploadStore(command, uploader, resolve(base ?? tmpdir()));
}

export class UploadStore implements Store {
  readonly place: string;
  readonly isReadable = false;
  readonly #uploader: Uploader;
  readonly #base: string;
  readonly #staging: string;
  #memory: StoreMemory | undefined;
  #isStaging = false;
  /** Names of files of this run, besides those that the memory has. */
  readonly #sent = new Set<string>();

  constructor(command: string, uploader: Uploader, base: string) {
    this.place = `upload script "${shownCommand(command)}"`;
    this.#uploader = uploader;
    this.#base = base;
    this.#staging = join(base, `lbs.${newUuid()}`);
  }

  get stagedIn(): string {
    return `the staging directory ${this.#staging}`;
  }

  get ownPlaces(): readonly string[] {
    return [this.#staging];
  }

  /** Makes nothing: what a run that is killed now would leave, nobody would know of. */
  checkWritable(): void {
    this.#inBase(() => accessSync(`${this.#base}/`, constants.W_OK | constants.X_OK));
  }

  #makeStaging(): void {
    this.#inBase(() => mkdirSync(this.#staging, { mode: DIRECTORY_MODE }));
    rememberStaging(this.#staging);
  }

  #inBase(work: () => void): void {
    try {
      work();
    } catch (error) {
      throw new LbsError('io', `cannot make a directory in ${this.#base}: ${messageOf(error)}`, {
        cause: error,
        hint: 'files wait there for the upload script; choose another place with --tmpdir=DIR',
      });
    }
  }

  recall(memory: StoreMemory): void {
    this.#memory = memory;
  }

  begin(): void {
    const memory = this.#known();
    const left = memory.stagingDirectory();
    // Nobody can be at work there: its database is locked by us.
    if (left !== undefined && STAGING_NAME.test(left)) removeStaging(left);
    memory.setStagingDirectory(this.#staging);
    this.#makeStaging();
    this.#isStaging = true;
    this.#uploader.begin();
  }

  async end(): Promise<void> {
    await this.#uploader.end();
  }

  async close(): Promise<void> {
    await this.#uploader.close();
    if (!this.#isStaging) return;
    this.#isStaging = false;
    removeStaging(this.#staging);
    // What could not be removed is remembered, for the next run to try.
    if (existsSync(this.#staging)) return;
    try {
      this.#memory?.setStagingDirectory(undefined);
    } catch {
      // The next run looks for what is not there.
    }
  }

  #known(): StoreMemory {
    if (this.#memory === undefined) throw new LbsError('internal', 'nothing is known of the store');
    return this.#memory;
  }

  list(): StoredFile[] {
    return this.names().flatMap((name) => this.find(name) ?? []);
  }

  names(): string[] {
    return [...new Set([...this.#known().names(), ...this.#sent])];
  }

  unfinished(): StoredFile[] {
    return [];
  }

  find(name: string): StoredFile | undefined {
    return this.#known().find(name);
  }

  open(name: string): OpenFile {
    throw new LbsError('store-missing-file', `${name} cannot be read: it was uploaded`);
  }

  remove(name: string): boolean {
    throw new LbsError('store-unwritable', `${name} cannot be removed: it was uploaded`);
  }

  stage(): StagedFile {
    const path = join(this.#staging, `${STAGED_PREFIX}${newUuid()}`);
    try {
      return new StagedUpload(openSync(path, 'wx+', FILE_MODE), path, (file, name) =>
        this.#publish(file, name),
      );
    } catch (error) {
      throw stagingError(this.stagedIn, 'make a file', error);
    }
  }

  async #publish(path: string, name: string): Promise<void> {
    // Under its own name, because scripts look at it.
    const local = join(this.#staging, name);
    const memory = this.#known();
    const snapshot = parseSnapshotFile(name)?.name;
    const type = typeOf(name);
    if (snapshot !== undefined) memory.add(`snapshot-${snapshot}.lbs`, 0);
    const sizeBytes = this.#move(path, local);
    try {
      await this.#uploader.put({ type, remote: name, local });
    } finally {
      discard(local);
    }
    this.#sent.add(name);
    if (type !== 'segments' && snapshot === undefined) memory.add(name, sizeBytes);
  }

  #move(path: string, local: string): number {
    try {
      renameSync(path, local);
      const fd = openSync(local, 'r');
      try {
        return fstatSync(fd).size;
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      throw stagingError(this.stagedIn, 'name a file', error);
    }
  }

  clockS(): number {
    return nowSeconds();
  }

  freeBytes(): number {
    try {
      const { bavail, bsize } = statfsSync(this.#base);
      return bavail * bsize;
    } catch {
      // Only used to explain a failure better.
      return Number.MAX_SAFE_INTEGER;
    }
  }

  /** "Stored" is what the script's answer means: there is nothing more to be asked for. */
  settle(): Promise<void> {
    return Promise.resolve();
  }
}

/** The script may have moved it away. */
function discard(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // What is left goes with the staging directory.
  }
}

class StagedUpload implements StagedFile {
  readonly fd: number;
  readonly #path: string;
  readonly #publish: (path: string, name: string) => Promise<void>;
  #isOpen = true;

  constructor(fd: number, path: string, publish: (path: string, name: string) => Promise<void>) {
    this.fd = fd;
    this.#path = path;
    this.#publish = publish;
  }

  async publish(name: string): Promise<void> {
    try {
      this.#close();
    } catch (error) {
      // What was written may not have found room.
      throw stagingError(`the staging directory ${dirname(this.#path)}`, `close ${name}`, error);
    }
    await this.#publish(this.#path, name);
  }

  publishOver(name: string): Promise<void> {
    throw new LbsError('internal', `${name} cannot be replaced: it was uploaded`);
  }

  #close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeSync(this.fd);
  }

  discard(): void {
    try {
      this.#close();
    } catch {
      // Giving up already.
    }
    discard(this.#path);
  }
}
