/** One entry of a filesystem, reached through the open directory that holds it. */
import { messageOf } from '../../errors.ts';
import type { Xattr } from '../../format/entry.ts';
import * as libc from '../../posix/libc.ts';
import type { FileStatus } from '../../posix/file-status.ts';
import { type BytePath, showPath } from '../../std/byte-path.ts';
import { type ByteText, asByteText, joinText, toBytePath } from '../../std/byte-text.ts';
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
  readonly directory: ByteText;
  readonly name: ByteText;
  readonly status: FileStatus;
  /** The open directory that holds it; itself when it has its own handle. */
  #dir: number;
  #hasOwnHandle = false;
  #xattrs: Xattr[] | undefined;
  #trouble: SourceTrouble | undefined;

  /** Takes the path and the handle of the directory that holds it. */
  constructor(parent: { path: ByteText; fd: number }, name: ByteText, status: FileStatus) {
    this.directory = parent.path;
    this.name = name;
    this.status = status;
    this.#dir = parent.fd;
  }

  get text(): ByteText {
    return joinText(this.directory, this.name);
  }

  get path(): BytePath {
    return toBytePath(this.text);
  }

  /** A directory that waits to be yielded: its parent's handle may be closed by then. */
  useOwnHandle(fd: number): void {
    this.#dir = fd;
    this.#hasOwnHandle = true;
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

  /** Its name in the open directory. */
  get #nameThere(): ByteText {
    return this.#hasOwnHandle ? ITSELF : this.name;
  }

  linkTarget(): Buffer {
    return this.#reading(() => libc.readLinkAt(this.#dir, nameBytes(this.#nameThere)));
  }

  xattrs(): Xattr[] {
    if (this.#trouble !== undefined) throw this.#trouble;
    if (this.#xattrs !== undefined) return this.#xattrs;
    return this.#reading(() =>
      readXattrs(libc.xattrPathAt(this.#dir, Buffer.from(this.#nameThere, 'latin1'))),
    );
  }

  openContent(): SourceContent {
    return openContent(this.#dir, nameBytes(this.#nameThere));
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
