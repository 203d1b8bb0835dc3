/**
 * Reads the list of segments (`.meta`) of a snapshot that Cumulus 0.11 made: a text that went
 * through the filter of the segments. Called by verify-checksums.
 */
import { LbsError } from '../errors.ts';
import { parseChecksum } from '../format/checksum.ts';
import { type ListedSegment, parseListedSegment } from '../format/segment-list.ts';
import { parseSegmentListFile } from '../format/snapshot-name.ts';
import { StanzaParser } from '../format/stanza.ts';
import { unfilter, type UnfilterOptions } from '../segments/unfilter.ts';
import type { Store, StoredFile } from '../stores/store.ts';
import { digestOf } from './examine-file.ts';

/** A stanza has some 260 bytes; a list may have a few more of them than the descriptor names. */
const STANZA_BYTES_MAX = 4096;
const LIST_BYTES_MAX = 64 * 1024;

/** The files with lists of segments among `files` (a store's listing), by name of the snapshot. */
export function segmentListsAmong(files: Iterable<StoredFile>): ReadonlyMap<string, StoredFile> {
  const lists = new Map<string, StoredFile>();
  for (const file of files) {
    const name = parseSegmentListFile(file.name)?.name;
    if (name !== undefined && !lists.has(name)) lists.set(name, file);
  }
  return lists;
}

async function* linesOf(chunks: AsyncIterable<Buffer>, bytesMax: number): AsyncGenerator<string> {
  let rest = '';
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    // A small file can unpack to terabytes.
    if (bytes > bytesMax) {
      throw new LbsError('format-syntax', `it is too large (more than ${bytesMax} bytes)`);
    }
    const lines = (rest + chunk.toString('latin1')).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
  if (rest !== '') yield rest;
}

export type SegmentListFile = {
  readonly name: string;
  /** The checksum of the file as stored, where the descriptor has one. */
  readonly expected: string | undefined;
  /** How many segments the descriptor names. */
  readonly segmentCount: number;
};

/**
 * What a list says of each segment.
 * @throws {LbsError} checksum-mismatch, format-syntax; as `Store.open` and `unfilter` do
 */
export async function readSegmentList(
  store: Store,
  { name, expected, segmentCount }: SegmentListFile,
  options: UnfilterOptions,
): Promise<ListedSegment[]> {
  const opened = store.open(name);
  try {
    const recorded = expected === undefined ? undefined : parseChecksum(expected);
    if (recorded && (await digestOf(opened.fd, recorded.algorithm)) !== recorded.hex) {
      throw new LbsError('checksum-mismatch', 'it is not as the descriptor says');
    }
    const listed: ListedSegment[] = [];
    const parser = new StanzaParser();
    const extension = parseSegmentListFile(name)?.extension ?? '';
    const bytesMax = LIST_BYTES_MAX + segmentCount * STANZA_BYTES_MAX;
    for await (const line of linesOf(unfilter(opened, extension, options), bytesMax)) {
      const result = parser.line(line);
      if (result.kind === 'stanza') listed.push(parseListedSegment(result.stanza));
    }
    const last = parser.end();
    if (last !== undefined) listed.push(parseListedSegment(last));
    return listed;
  } finally {
    opened.close();
  }
}
