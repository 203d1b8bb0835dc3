/**
 * Headers of a tar archive that other programs read: POSIX ustar, with a pax extended header for
 * what does not fit. Called by maintain/dump; the tar files of a store are another matter
 * (tar-header).
 *
 * What fits into a ustar header stands there as it is, so that readers without pax have it too. A
 * number too large for its octal digits is written in base 256 as well, and a long name that is not
 * UTF-8, which pax cannot hold without an option that readers complain of, as a GNU long name.
 */
import type { EntryType, Timespec } from '../posix/file-status.ts';
import { utf8Of } from '../std/byte-path.ts';
import type { ByteRange, Xattr } from './entry.ts';
import { TAR_RECORD_BYTES } from './tar-header.ts';

/** What tar has a type for; `link` is a further name of a member before. */
export type MemberType = Exclude<EntryType, 's'> | 'link';

export type ArchiveMember = {
  /** Of a directory with a slash at the end. */
  readonly path: Buffer;
  readonly type: MemberType;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly user: string | undefined;
  readonly group: string | undefined;
  readonly mtime: Timespec | undefined;
  /** Bytes of content that follow the header; 0 for anything but a regular file. */
  readonly sizeBytes: number;
  /** Target of a symlink, or the path of the member that a link is another name of. */
  readonly target: Buffer | undefined;
  readonly device: { readonly major: number; readonly minor: number } | undefined;
  readonly xattrs: readonly Xattr[];
  /** Of a file whose content is a map and the data between holes: its size with the holes. */
  readonly realSizeBytes?: number | undefined;
};

const TYPE_FLAG: Readonly<Record<MemberType, string>> = {
  f: '0',
  link: '1',
  l: '2',
  c: '3',
  b: '4',
  d: '5',
  p: '6',
};
const PAX_FLAG = 'x';
const LONG_NAME_FLAG = 'L';
const LONG_TARGET_FLAG = 'K';

const NAME_BYTES = 100;
const PREFIX_BYTES = 155;
const ACCOUNT_BYTES = 32;
const SLASH = 0x2f;
const NS_PER_S = 1_000_000_000;
/** The first bit of a number in base 256. */
const BASE_256 = 0x80;
const EXTENDED_MODE = 0o644;
const SPARSE_DIRECTORY = 'GNUSparseFile.0/';

/** Place and size of a number; the last byte is left NUL. */
type NumberField = readonly [start: number, bytes: number];
const MODE_FIELD: NumberField = [100, 8];
const UID_FIELD: NumberField = [108, 8];
const GID_FIELD: NumberField = [116, 8];
const SIZE_FIELD: NumberField = [124, 12];
const MTIME_FIELD: NumberField = [136, 12];
const MAJOR_FIELD: NumberField = [329, 8];
const MINOR_FIELD: NumberField = [337, 8];

/** True when `value` can stand in octal digits. */
function fits(value: number, [, bytes]: NumberField): boolean {
  return value >= 0 && value < 8 ** (bytes - 1);
}

/** A negative number becomes 0: only times can be, and pax has them. */
function writeNumber(header: Buffer, value: number, field: NumberField): void {
  const [start, bytes] = field;
  if (fits(value, field) || value < 0) {
    header.write(
      Math.max(value, 0)
        .toString(8)
        .padStart(bytes - 1, '0'),
      start,
      'latin1',
    );
    return;
  }
  let rest = value;
  for (let at = start + bytes - 1; at > start; at--) {
    header[at] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  header[start] = BASE_256;
}

/** `length key=value\n`, where the length counts its own digits too. */
function paxRecord(key: Buffer | string, value: Buffer | string): Buffer {
  const rest = Buffer.concat([
    Buffer.from(' '),
    Buffer.from(key),
    Buffer.from('='),
    Buffer.from(value),
    Buffer.from('\n'),
  ]);
  let length = rest.length;
  for (;;) {
    const next = rest.length + String(length).length;
    if (next === length) return Buffer.concat([Buffer.from(String(length)), rest]);
    length = next;
  }
}

/** Seconds with as many decimals as needed, below 0 too. */
function paxTime({ s, ns }: Timespec): string {
  const isBefore = s < 0 && ns > 0;
  const [whole, part] = isBefore ? [-(s + 1), NS_PER_S - ns] : [Math.abs(s), ns];
  const sign = s < 0 ? '-' : '';
  const decimals = part === 0 ? '' : `.${String(part).padStart(9, '0').replace(/0+$/, '')}`;
  return `${sign}${whole}${decimals}`;
}

/** `%` and `=` in names as GNU tar escapes them; pax ends a key at the first `=`. */
function xattrKey(name: Buffer): Buffer {
  const text = name.toString('latin1').replaceAll('%', '%25').replaceAll('=', '%3D');
  return Buffer.from(`SCHILY.xattr.${text}`, 'latin1');
}

/** Name and prefix of a path in a ustar header; undefined when it is too long for them. */
function ustarName(path: Buffer): { name: Buffer; prefix: Buffer } | undefined {
  if (path.length <= NAME_BYTES) return { name: path, prefix: Buffer.alloc(0) };
  // The first slash that leaves a name that is short enough, and not empty.
  const slash = path.indexOf(SLASH, path.length - NAME_BYTES - 1);
  if (slash <= 0 || slash > PREFIX_BYTES || slash >= path.length - 1) return undefined;
  return { name: path.subarray(slash + 1), prefix: path.subarray(0, slash) };
}

/** A header with all fields but name, type, size and checksum. */
function commonHeader(member: Omit<ArchiveMember, 'path' | 'type' | 'sizeBytes'>): Buffer {
  const header = Buffer.alloc(TAR_RECORD_BYTES);
  writeNumber(header, member.mode, MODE_FIELD);
  writeNumber(header, member.uid, UID_FIELD);
  writeNumber(header, member.gid, GID_FIELD);
  writeNumber(header, member.mtime?.s ?? 0, MTIME_FIELD);
  header.write('ustar\x0000', 257, 'latin1');
  writeNumber(header, member.device?.major ?? 0, MAJOR_FIELD);
  writeNumber(header, member.device?.minor ?? 0, MINOR_FIELD);
  return header;
}

/** Fills in the type, the size of what follows, and the checksum. */
function finish(header: Buffer, flag: string, sizeBytes: number): Buffer {
  header.write(flag, 156, 'latin1');
  writeNumber(header, sizeBytes, SIZE_FIELD);
  header.fill(' ', 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0`, 148, 'latin1');
  return header;
}

/** A member that says something of the one after it: its header and its padded content. */
function extension(flag: string, name: string, content: Buffer): Buffer[] {
  const header = commonHeader({
    mode: EXTENDED_MODE,
    uid: 0,
    gid: 0,
    user: undefined,
    group: undefined,
    mtime: undefined,
    target: undefined,
    device: undefined,
    xattrs: [],
  });
  header.write(name, 0, 'latin1');
  return [finish(header, flag, content.length), content, paddingAfter(content.length)];
}

/** The zeros between content of `sizeBytes` and the next header. */
export function paddingAfter(sizeBytes: number): Buffer {
  return Buffer.alloc((TAR_RECORD_BYTES - (sizeBytes % TAR_RECORD_BYTES)) % TAR_RECORD_BYTES);
}

/**
 * What the content of a file with holes begins with: which stretches of it are data. A file that
 * ends in a hole has an empty one at its end.
 */
export function sparseMap(data: readonly ByteRange[], realSizeBytes: number): Buffer {
  const last = data.at(-1);
  const endsInData = last !== undefined && last.start + last.length === realSizeBytes;
  const ranges = endsInData ? data : [...data, { start: realSizeBytes, length: 0 }];
  const numbers = ranges.flatMap(({ start, length }) => [start, length]);
  const text = Buffer.from(`${[ranges.length, ...numbers].join('\n')}\n`);
  return Buffer.concat([text, paddingAfter(text.length)]);
}

/** What ends an archive. */
export const ARCHIVE_END: Buffer = Buffer.alloc(2 * TAR_RECORD_BYTES);

class HeaderMaker {
  readonly #member: ArchiveMember;
  readonly #records: Buffer[] = [];
  readonly #before: Buffer[] = [];
  readonly #header: Buffer;

  constructor(member: ArchiveMember) {
    this.#member = member;
    this.#header = commonHeader(member);
  }

  make(): Buffer {
    this.#path();
    this.#target();
    this.#account('uname', this.#member.user, 265);
    this.#account('gname', this.#member.group, 297);
    this.#numbers();
    for (const { name, value } of this.#member.xattrs) {
      this.#records.push(paxRecord(xattrKey(name), value));
    }
    const records = Buffer.concat(this.#records);
    const pax = records.length === 0 ? [] : extension(PAX_FLAG, 'PaxHeaders/member', records);
    const { type, sizeBytes } = this.#member;
    return Buffer.concat([
      ...this.#before,
      ...pax,
      finish(this.#header, TYPE_FLAG[type], sizeBytes),
    ]);
  }

  #path(): void {
    const { path, realSizeBytes } = this.#member;
    if (realSizeBytes !== undefined) {
      this.#sparse(path, realSizeBytes);
      return;
    }
    const short = ustarName(path);
    if (short === undefined) this.#longText('path', LONG_NAME_FLAG, path);
    (short?.name ?? path.subarray(0, NAME_BYTES)).copy(this.#header, 0);
    short?.prefix.copy(this.#header, 345);
  }

  /** Version 1.0 of the sparse format of GNU tar. Readers without it make files of the other name. */
  #sparse(path: Buffer, realSizeBytes: number): void {
    this.#records.push(
      paxRecord('GNU.sparse.major', '1'),
      paxRecord('GNU.sparse.minor', '0'),
      paxRecord('GNU.sparse.name', path),
      paxRecord('GNU.sparse.realsize', String(realSizeBytes)),
    );
    this.#header.write(SPARSE_DIRECTORY, 0, 'latin1');
    const name = path.subarray(path.lastIndexOf(SLASH) + 1);
    name.copy(this.#header, SPARSE_DIRECTORY.length, 0, NAME_BYTES - SPARSE_DIRECTORY.length);
  }

  #target(): void {
    const { target } = this.#member;
    if (target === undefined) return;
    if (target.length > NAME_BYTES) this.#longText('linkpath', LONG_TARGET_FLAG, target);
    target.copy(this.#header, 157, 0, NAME_BYTES);
  }

  #longText(key: string, flag: string, bytes: Buffer): void {
    if (utf8Of(bytes) !== undefined) this.#records.push(paxRecord(key, bytes));
    else {
      const ended = Buffer.concat([bytes, Buffer.alloc(1)]);
      this.#before.push(...extension(flag, '././@LongLink', ended));
    }
  }

  #account(key: string, name: string | undefined, at: number): void {
    if (name === undefined) return;
    const bytes = Buffer.from(name);
    if (bytes.length < ACCOUNT_BYTES) bytes.copy(this.#header, at);
    else this.#records.push(paxRecord(key, bytes));
  }

  #numbers(): void {
    const { uid, gid, sizeBytes, mtime } = this.#member;
    if (!fits(uid, UID_FIELD)) this.#records.push(paxRecord('uid', String(uid)));
    if (!fits(gid, GID_FIELD)) this.#records.push(paxRecord('gid', String(gid)));
    if (!fits(sizeBytes, SIZE_FIELD)) this.#records.push(paxRecord('size', String(sizeBytes)));
    if (mtime !== undefined && (mtime.ns !== 0 || !fits(mtime.s, MTIME_FIELD))) {
      this.#records.push(paxRecord('mtime', paxTime(mtime)));
    }
  }
}

/** All that stands before the content of `member`: its header, with extensions before it. */
export function memberHeader(member: ArchiveMember): Buffer {
  return new HeaderMaker(member).make();
}
