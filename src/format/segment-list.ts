/**
 * The list of segments that Cumulus 0.11 put beside a snapshot (`.meta`): a stanza for each, with
 * its checksum as stored. Format: lbs-format(5), "CHECKSUMS FILES".
 */
import { LbsError } from '../errors.ts';
import { type Checksum, parseChecksum } from './checksum.ts';
import { isSegmentName, parseSegmentFile } from './snapshot-name.ts';
import type { Stanza } from './stanza.ts';

export type ListedSegment = {
  readonly segment: string;
  /** Its file, without directories; undefined when the stanza names none that could be its. */
  readonly file: string | undefined;
  readonly checksum: Checksum | undefined;
};

/** What a stanza of the list says. @throws {LbsError} format-syntax */
export function parseListedSegment(stanza: Stanza): ListedSegment {
  const segment = stanza.get('segment') ?? '';
  if (!isSegmentName(segment)) {
    throw new LbsError('format-syntax', `"${segment.slice(0, 80)}" is not the name of a segment`);
  }
  // The directory is left out: a path from a store is looked for nowhere but in the store.
  const path = stanza.get('path') ?? '';
  const file = path.slice(path.lastIndexOf('/') + 1);
  const checksum = stanza.get('checksum');
  return {
    segment,
    file: parseSegmentFile(file)?.segment === segment ? file : undefined,
    checksum: checksum === undefined ? undefined : parseChecksum(checksum),
  };
}
