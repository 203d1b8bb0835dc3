/**
 * The text that says which snapshots were taken out of a store on purpose: one record, signed or not
 * as descriptors are. Its `Format` is none of a descriptor, so neither can pass for the other.
 * Format: lbs-format(5), "FORGOTTEN SNAPSHOTS".
 */
import { LbsError } from '../errors.ts';
import { fieldsOf } from './descriptor.ts';
import { parseSnapshotName } from './snapshot-name.ts';
import { formatDate } from './timestamp.ts';

/** A snapshot that was taken out, and the SHA-256 of its descriptor as stored. */
export type ForgottenSnapshot = {
  readonly name: string;
  /** Hexadecimal digits; undefined where the descriptor could not be read any more. */
  readonly sha256: string | undefined;
};

const FORMAT = 'LBS Forgotten v1';
const LINE = /^(\S+) ([0-9a-f]{64}|-)$/;

/** Text of a note. `date`: seconds since 1970. */
export function formatForgotten(
  forgotten: Iterable<ForgottenSnapshot>,
  { date, host }: { readonly date: number; readonly host: string },
): string {
  const lines = [...forgotten].map(({ name, sha256 }) => `    ${name} ${sha256 ?? '-'}\n`);
  return [
    `Format: ${FORMAT}\n`,
    `Date: ${formatDate(date)}\n`,
    `Host: ${host}\n`,
    'Forgotten:\n',
    ...lines.sort(),
  ].join('');
}

/** What a note names; of a signed one the signed part, unchecked. @throws {LbsError} format-syntax */
export function parseForgotten(text: string): ForgottenSnapshot[] {
  const fields = fieldsOf(text);
  const format = fields.get('Format');
  if (format !== FORMAT) throw new LbsError('format-syntax', 'it is no note of what was forgotten');
  return (fields.get('Forgotten') ?? '').split('\n').flatMap((line) => {
    const [, name = '', digest] = LINE.exec(line) ?? [];
    if (parseSnapshotName(name) === undefined) return [];
    return [{ name, sha256: digest === '-' ? undefined : digest }];
  });
}
