/** Versions of a path as `find` and `history` show them. */
import type { Version } from '../inspect/version-table.ts';
import { formatDate } from '../format/timestamp.ts';
import { showPath } from '../std/byte-path.ts';
import { jsonPath } from './json-report.ts';
import { rfc3339, WORD_OF_TYPE } from './show-entry.ts';

/** Enough to tell contents apart, and to ask `find --sha256` for them. */
const DIGITS_SHOWN = 12;
/** `2026-11-01 10:14:21`. */
const DATE_CHARS = 19;

/** Size of a regular file; `-` of everything else. */
export function sizeColumn({ type, sizeBytes }: Version): string {
  return type === 'f' ? String(sizeBytes) : '-';
}

/** Time of change in the local zone. */
export function dateColumn({ mtime }: Version): string {
  if (mtime === undefined) return '?'.padEnd(DATE_CHARS);
  // Years beyond these have no date.
  return rfc3339(mtime) === undefined ? `@${mtime.s}` : formatDate(mtime.s).slice(0, DATE_CHARS);
}

/** The beginning of the checksum; where a link leads; else the type. */
export function contentColumn({ type, sha256, checksum, target }: Version): string {
  if (target !== undefined) return `-> ${showPath(target)}`;
  if (type !== 'f') return WORD_OF_TYPE[type];
  if (sha256 !== undefined) return sha256.slice(0, DIGITS_SHOWN);
  const [algorithm = '', hex = ''] = (checksum ?? '').split('=', 2);
  return hex === '' ? '?' : `${algorithm}=${hex.slice(0, DIGITS_SHOWN)}`;
}

/** The fields of a version in JSON. */
export function versionFields(version: Version): Record<string, unknown> {
  const { path, type, sizeBytes, mtime, sha256, checksum, target } = version;
  return {
    ...jsonPath('path', path),
    type: WORD_OF_TYPE[type],
    size: type === 'f' ? sizeBytes : undefined,
    mtime: mtime && rfc3339(mtime),
    mtime_s: mtime?.s,
    sha256,
    checksum,
    ...(target && jsonPath('target', target)),
  };
}
