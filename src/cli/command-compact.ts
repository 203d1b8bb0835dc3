/** `lbs compact`: which segments, which snapshots have new names, and what that costs. */
import { EXIT, LbsError } from '../errors.ts';
import type {
  CompactOptions,
  CompactSummary,
  RenamedSnapshot,
} from '../maintain/compact-options.ts';
import type { Report } from '../report.ts';
import { showText } from '../std/byte-path.ts';
import { humanCount, humanSize } from '../std/human-size.ts';
import { minUsedOf } from './command-clean.ts';
import type { CommandInput } from './command.ts';
import type { FlagValues } from './flag-values.ts';
import { openReport, verbosityOf } from './open-report.ts';
import type { Output } from './output.ts';
import { segmentSaid } from './show-segment.ts';
import { present, readOptionsOf } from './store-flags.ts';
import { encryptToOf, segmentSizeOf, signingOf } from './storing-flags.ts';

const counted = (count: number, one: string) =>
  `${humanCount(count)} ${count === 1 ? one : `${one}s`}`;

function summaryLines(summary: CompactSummary): string[] {
  const { dryRun, segments, storedBytes, snapshots, contentBytes, metadataBytes } = summary;
  const words = dryRun ? 'would be compacted' : 'compacted';
  const left = summary.segmentsLeft;
  const lines = [
    `${counted(segments, 'segment')} ${words}, ${humanSize(storedBytes)} in the store${left > 0 ? `; ${humanCount(left)} left as they are` : ''}`,
  ];
  if (segments === 0) return lines;
  const stored = dryRun ? '' : `, ${humanSize(summary.addedBytes)} in the store`;
  const read = `read ${humanSize(summary.readBytes)} of the store`;
  const wrote = `${humanSize(contentBytes)} of content and ${humanSize(metadataBytes)} of metadata, before the filter${stored}`;
  lines.push(
    dryRun ? `would ${read}, and write ${wrote}` : `${read}, wrote ${wrote}`,
    `${counted(snapshots.length, 'snapshot')} ${dryRun ? 'would have' : snapshots.length === 1 ? 'has' : 'have'} a new name; "lbs gc" removes the segments`,
  );
  return lines;
}

function jsonOf(summary: CompactSummary): Record<string, unknown> {
  return {
    dry_run: summary.dryRun,
    segments: summary.segments,
    segments_left: summary.segmentsLeft,
    stored_bytes: summary.storedBytes,
    snapshots: summary.snapshots.length,
    bytes_read: summary.readBytes,
    content_bytes: summary.contentBytes,
    metadata_bytes: summary.metadataBytes,
    bytes_added: summary.addedBytes,
    damaged: summary.damaged,
  };
}

type Said = Required<Pick<CompactOptions, 'onSegment' | 'onSnapshot'>> & {
  readonly done: (summary: CompactSummary) => void;
};

/** How compacting is told of. */
export function compactingSaid(flags: FlagValues, out: Output): Said {
  const isJson = flags.isOn('json');
  const verbosity = verbosityOf(flags);
  return {
    onSegment: segmentSaid(flags, out),
    onSnapshot: ({ oldName, name }: RenamedSnapshot) => {
      if (isJson) {
        const fields = { snapshot_id: name, old_snapshot_id: oldName };
        out.line(JSON.stringify({ message_type: 'renamed', ...fields }));
      } else if (verbosity !== 'quiet') out.line(`${showText(oldName)} -> ${showText(name)}`);
    },
    done: (summary) => {
      if (isJson) out.line(JSON.stringify({ message_type: 'summary', ...jsonOf(summary) }));
      else if (verbosity !== 'quiet') for (const line of summaryLines(summary)) out.line(line);
    },
  };
}

/** What compact and prune have in common. @throws {LbsError} usage */
export function compactOptionsOf(input: CommandInput, report: Report): CompactOptions {
  const { flags } = input;
  return {
    ...readOptionsOf(input, 'lbs compact --store=/mnt/backup'),
    ...signingOf(flags),
    ...encryptToOf(flags),
    dryRun: flags.isOn('dry-run'),
    report,
    ...present({
      localdb: flags.text('localdb'),
      filter: flags.text('filter'),
      filterExtension: flags.text('filter-extension'),
    }),
  };
}

/** Compacts; 4 when something is damaged. @throws {LbsError} */
export async function runCompact(input: CommandInput): Promise<number> {
  const { flags, outputs } = input;
  const report = openReport('compact', flags, outputs);
  try {
    const snapshots = flags.operands.map((_, at) => flags.operandText(at, 'SNAPSHOT') ?? '');
    if (snapshots.length === 0 && flags.given('scheme').length > 0) {
      throw new LbsError(
        'usage',
        '--scheme says of which scheme a SNAPSHOT is, and none is named',
        {
          hint: 'segments are of all schemes together: leave it out, or name snapshots',
        },
      );
    }
    const options: CompactOptions = {
      ...compactOptionsOf(input, report.report),
      ...{ snapshots, all: flags.isOn('all') },
      ...present({ minUsed: minUsedOf(flags), segmentSizeBytes: segmentSizeOf(flags) }),
    };
    const { compact } = await import('../maintain/compact.ts');
    const { done, onSegment, onSnapshot } = compactingSaid(flags, outputs.out);
    const summary = await compact({ ...options, onSegment, onSnapshot });
    report.close();
    done(summary);
    return summary.damaged > 0 ? EXIT.damaged : EXIT.done;
  } finally {
    report.close();
  }
}
