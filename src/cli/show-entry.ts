/** One entry of a snapshot as `ls` shows it: a name, a line like that of ls(1) -l, or JSON. */
import type { Entry } from '../format/entry.ts';
import { formatDate } from '../format/timestamp.ts';
import type { EntryType, Timespec } from '../posix/file-status.ts';
import { nameOf, showPath, showText } from '../std/byte-path.ts';
import { jsonPath } from './json-report.ts';

const LETTER_OF_TYPE: Readonly<Record<EntryType, string>> = {
  f: '-',
  d: 'd',
  l: 'l',
  p: 'p',
  s: 's',
  c: 'c',
  b: 'b',
};

/** restic's words. */
export const WORD_OF_TYPE: Readonly<Record<EntryType, string>> = {
  f: 'file',
  d: 'dir',
  l: 'symlink',
  p: 'fifo',
  s: 'socket',
  c: 'chardev',
  b: 'dev',
};

/** Milliseconds from 1970 that a `Date` can hold, either way. */
const DATE_MS_MAX = 8.64e15;

/** `-rwsr-x--t`; `?` for permissions that were not recorded. */
export function modeText(type: EntryType, mode: number | undefined): string {
  const letter = LETTER_OF_TYPE[type];
  if (mode === undefined) return `${letter}?????????`;
  const triple = (shift: number, special: number, mark: string) => {
    const bits = mode >> shift;
    const run = (bits & 1) !== 0;
    const last = (mode & special) === 0 ? (run ? 'x' : '-') : run ? mark : mark.toUpperCase();
    return `${bits & 4 ? 'r' : '-'}${bits & 2 ? 'w' : '-'}${last}`;
  };
  return letter + triple(6, 0o4000, 's') + triple(3, 0o2000, 's') + triple(0, 0o1000, 't');
}

/** RFC 3339, in UTC, with nanoseconds; undefined for years that it cannot write. */
export function rfc3339(time: Timespec): string | undefined {
  if (Math.abs(time.s) * 1000 > DATE_MS_MAX) return undefined;
  const whole = new Date(time.s * 1000).toISOString();
  return /^\d{4}-/.test(whole)
    ? `${whole.slice(0, 19)}.${String(time.ns).padStart(9, '0')}Z`
    : undefined;
}

function dateText(time: Timespec | undefined): string {
  if (time === undefined) return '?'.padEnd(16);
  return Math.abs(time.s) * 1000 > DATE_MS_MAX ? `@${time.s}` : formatDate(time.s).slice(0, 16);
}

function sizeText({ type, device, sizeBytes }: Entry): string {
  if (device !== undefined) return `${device.major}, ${device.minor}`;
  return type === 'f' ? String(sizeBytes) : '-';
}

/** A line as of ls -l; the columns have least widths, because a listing is not held back. */
export function longLine(entry: Entry): string {
  const owner = entry.user === undefined ? String(entry.uid ?? '?') : showText(entry.user);
  const group = entry.group === undefined ? String(entry.gid ?? '?') : showText(entry.group);
  const columns = [
    modeText(entry.type, entry.mode),
    owner.padEnd(8),
    group.padEnd(8),
    sizeText(entry).padStart(12),
    dateText(entry.mtime),
    showPath(entry.path),
  ];
  const target = entry.target === undefined ? '' : ` -> ${showPath(entry.target)}`;
  return columns.join(' ') + target;
}

/** One JSON object, without a line end. */
export function jsonLine(entry: Entry): string {
  return JSON.stringify({
    message_type: 'node',
    struct_type: 'node',
    ...jsonPath('name', nameOf(entry.path)),
    type: WORD_OF_TYPE[entry.type],
    ...jsonPath('path', entry.path),
    uid: entry.uid,
    gid: entry.gid,
    user: entry.user,
    group: entry.group,
    size: entry.type === 'f' ? entry.sizeBytes : undefined,
    mode: entry.mode,
    permissions: modeText(entry.type, entry.mode),
    mtime: entry.mtime && rfc3339(entry.mtime),
    mtime_s: entry.mtime?.s,
    inode: entry.inode,
    links: entry.links,
    device: entry.device && `${entry.device.major}/${entry.device.minor}`,
    ...(entry.target && jsonPath('target', entry.target)),
    sha256: entry.sha256,
  });
}
