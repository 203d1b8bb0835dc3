/**
 * Snapshot names and dates as text.
 *
 * A snapshot is named by UTC time, `20261120T091421`, so that names sort the same in every time
 * zone and across daylight saving; its `Date:` is in the local zone for people.
 */

const two = (value: number) => String(value).padStart(2, '0');

/** `20261120T091421` (UTC) of seconds since 1970. */
export function formatTimestamp(seconds: number): string {
  const date = new Date(seconds * 1000);
  const year = String(date.getUTCFullYear()).padStart(4, '0');
  const day = `${year}${two(date.getUTCMonth() + 1)}${two(date.getUTCDate())}`;
  const time = two(date.getUTCHours()) + two(date.getUTCMinutes()) + two(date.getUTCSeconds());
  return `${day}T${time}`;
}

/** Seconds since 1970 of `20261120T091421` read as UTC; undefined when it is not a timestamp. */
export function parseTimestamp(text: string): number | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)$/.exec(text);
  if (!match) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match
    .slice(1)
    .map(Number);
  const ms = Date.UTC(year, month - 1, day, hour, minute, second);
  return Number.isNaN(ms) ? undefined : ms / 1000;
}

/** `2026-11-20 10:14:21 +0100`, in the local zone. */
export function formatDate(seconds: number): string {
  const date = new Date(seconds * 1000);
  const offset = -date.getTimezoneOffset();
  const sign = offset < 0 ? '-' : '+';
  const zone = sign + two(Math.floor(Math.abs(offset) / 60)) + two(Math.abs(offset) % 60);
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())} ${zone}`;
}

/** Seconds since 1970 of a descriptor's `Date:`; undefined when it cannot be read. */
export function parseDate(text: string): number | undefined {
  const match = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) ([+-]\d\d)(\d\d)$/.exec(text);
  if (!match) return undefined;
  const ms = Date.parse(`${match[1]}T${match[2]}${match[3]}:${match[4]}`);
  return Number.isNaN(ms) ? undefined : ms / 1000;
}

/**
 * Seconds since 1970 of a moment as people write it: `2026-11-01`, `2026-11-01T12:30` or
 * `2026-11-01T12:30:15`, in the local zone, or in UTC with a `Z` at the end. Undefined for anything
 * else, and for days that no calendar has.
 */
export function parseMoment(text: string): number | undefined {
  const match = /^([1-9]\d{3})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d))?)?(Z?)$/.exec(text);
  if (!match) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match
    .slice(1, 7)
    .map((part) => Number(part ?? 0));
  // The runtime makes March 2 of February 30.
  const date = new Date(Date.UTC(year, month - 1, day));
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
  if (hour > 23 || minute > 59 || second > 59) return undefined;
  const ms =
    match[7] === 'Z'
      ? Date.UTC(year, month - 1, day, hour, minute, second)
      : new Date(year, month - 1, day, hour, minute, second).getTime();
  return ms / 1000;
}
