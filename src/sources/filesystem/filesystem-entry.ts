/** One entry of a filesystem, reached through the open directory that holds it. */
import { messageOf } from '../../errors.ts';
import type { Xattr } from '../../format/entry.ts';
import * as libc from '../../posix/libc.ts';
import type { FileStatus } from '../../posix/file-status.ts';
import { type BytePath, showPath } from '../../std/byte-path.ts';
import { type ByteText, asByteText, toBytePath } from '../../std/byte-text.ts';
import { type SourceContent, type SourceEntry, SourceTrouble } from '../source.ts';
import { passOwnTrouble } from './entry-trouble.ts';
import { openContent } from './open-content.ts';
import { readXattrs } from './read-xattrs.ts';

/** A name as NUL-terminated bytes. */
export function nameBytes(name: ByteText): Buffer {
  return Buffer.from(`${name}\0`, 'latin1');
}

/** The open directory itself. */
const ITSELF = asByteText('.');

export class FilesystemEntry implements SourceEntry {
  readonly text: ByteText;
  readonly status: FileStatus;
  /** The directory that holds it, and its name there. */
  #dir: number;
  #name: ByteText;
  #xattrs: Xattr[] | undefined;
  #trouble: SourceTrouble | undefined;

  constructor(text: ByteText, status: FileStatus, dir: number, name: ByteText) {
    this.text = text;
    this.status = status;
    this.#dir = dir;
    this.#name = name;
  }

  get path(): BytePath {
    return toBytePath(this.text);
  }

  /** A directory that waits to be yielded: its parent's handle may be closed by then. */
  useOwnHandle(fd: number): void {
    this.#dir = fd;
    this.#name = ITSELF;
  }

  /** Reads now what will be asked later, since its handle is to be closed. */
  readAhead(): void {
    try {
      this.#xattrs = this.xattrs();
    } catch (error) {
      if (!(error instanceof SourceTrouble)) throw error;
      this.#trouble = error;
    }
  }

  linkTarget(): Buffer {
    return this.#reading(() => libc.readLinkAt(this.#dir, nameBytes(this.#name)));
  }

  xattrs(): Xattr[] {
    if (this.#trouble !== undefined) throw this.#trouble;
    if (this.#xattrs !== undefined) return this.#xattrs;
    return this.#reading(() =>
      readXattrs(libc.xattrPathAt(this.#dir, Buffer.from(this.#name, 'latin1'))),
    );
  }

  openContent(): SourceContent {
    return openContent(this.#dir, nameBytes(this.#name));
  }

  #reading<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      passOwnTrouble(error, showPath(this.path));
      throw new SourceTrouble('unreadable', messageOf(error), error);
    }
  }
}
