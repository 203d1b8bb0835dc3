/**
 * The snapshots of a store, for `lbs list`: one small file is read for each, nothing else, so a
 * thousand of them take a moment.
 */
import { LbsError } from '../errors.ts';
import type { ReadOptions } from '../restore/restore-options.ts';
import { SegmentSource } from '../segments/segment-source.ts';
import { type Descriptor, parseDescriptor } from '../format/descriptor.ts';
import { isSegmentName } from '../format/snapshot-name.ts';
import { readDescriptor, type SnapshotFile, snapshotsAmong } from '../snapshots/open-snapshot.ts';
import { NotesOfStore } from '../snapshots/snapshot-notes.ts';
import { openStore } from '../stores/open-store.ts';
import type { Store } from '../stores/store.ts';
import type { SnapshotInfo } from './verify-options.ts';

/**
 * The snapshots of the store (of `scheme`, when given), oldest first. One whose descriptor cannot
 * be used is listed with the reason in `error`.
 * @throws {LbsError} store-missing, usage, signature-key (an unusable key file), interrupted
 */
export async function list(options: ReadOptions): Promise<SnapshotInfo[]> {
  const store = openStore(options.store);
  const files = store.list();
  const source = new SegmentSource(store, options, files);
  const infos: SnapshotInfo[] = [];
  const notes = new NotesOfStore(files);
  for (const snapshot of snapshotsAmong(files)) {
    if (options.signal?.aborted === true) throw new LbsError('interrupted', 'interrupted');
    if (options.scheme !== undefined && (snapshot.scheme ?? '') !== options.scheme) continue;
    const info = await infoOf(store, source, snapshot, options.verifyKey);
    // Forgotten since the files were listed.
    const isMissing = info.errorCode === 'store-missing-file';
    if (isMissing && store.find(snapshot.file.name) === undefined) continue;
    infos.push({ ...info, ...notes.of(snapshot.name) });
  }
  return infos;
}

async function infoOf(
  store: Store,
  source: SegmentSource,
  snapshot: SnapshotFile,
  verifyKey: string | undefined,
): Promise<Omit<SnapshotInfo, 'isHeld' | 'tags'>> {
  const { name, scheme } = snapshot;
  try {
    const { text, isSigned } = await readDescriptor(store, snapshot, { verifyKey });
    const { descriptor, segments, storedBytes } = parseSummary(text, source);
    return {
      name,
      scheme,
      date: descriptor.date,
      host: descriptor.host,
      producer: descriptor.producer,
      format: descriptor.format,
      signed: isSigned,
      counts: descriptor.counts,
      intent: descriptor.intent,
      segments,
      storedBytes,
      error: undefined,
      errorCode: undefined,
    };
  } catch (error) {
    if (!(error instanceof LbsError) || error.code === 'signature-key') throw error;
    return {
      name,
      scheme,
      date: undefined,
      host: undefined,
      producer: undefined,
      format: '',
      signed: false,
      counts: undefined,
      intent: undefined,
      segments: 0,
      storedBytes: 0,
      error: error.message,
      errorCode: error.code,
    };
  }
}

type Summary = {
  /** All but the list of segments. */
  readonly descriptor: Descriptor;
  readonly segments: number;
  readonly storedBytes: number;
};

const SEGMENTS_KEY = '\nSegments:\n';
const SEGMENT_INDENT = '    ';

/**
 * Reads a descriptor for a list. The names of segments are nearly all of its text, and only
 * looked up and counted here, which is several times faster than parsing them.
 * @throws {LbsError} format-syntax, format-version
 */
function parseSummary(text: string, source: SegmentSource): Summary {
  const key = text.indexOf(SEGMENTS_KEY);
  if (key < 0) return wholeSummary(text, source);
  const descriptor = parseDescriptor(text.slice(0, key + 1));
  const [rootSegment = ''] = descriptor.segments;
  let segments = 0;
  let storedBytes = 0;
  let hasRoot = false;
  let at = key + SEGMENTS_KEY.length;
  while (text.startsWith(SEGMENT_INDENT, at)) {
    const newline = text.indexOf('\n', at);
    const end = newline < 0 ? text.length : newline;
    const segment = text.slice(at + SEGMENT_INDENT.length, end);
    const file = source.fileOf(segment);
    // A segment that the store lacks has no size; any other word makes the descriptor unusable.
    if (file === undefined && !isSegmentName(segment)) return wholeSummary(text, source);
    storedBytes += file?.sizeBytes ?? 0;
    if (segment === rootSegment) hasRoot = true;
    segments++;
    at = end + 1;
  }
  // Keys after the list: only other programs write them there.
  if (at < text.length && !text.startsWith('-----', at)) return wholeSummary(text, source);
  if (hasRoot) return { descriptor, segments, storedBytes };
  const rootBytes = source.fileOf(rootSegment)?.sizeBytes ?? 0;
  return { descriptor, segments: segments + 1, storedBytes: storedBytes + rootBytes };
}

function wholeSummary(text: string, source: SegmentSource): Summary {
  const descriptor = parseDescriptor(text);
  let storedBytes = 0;
  for (const segment of descriptor.segments) storedBytes += source.fileOf(segment)?.sizeBytes ?? 0;
  return { descriptor, segments: descriptor.segments.length, storedBytes };
}
