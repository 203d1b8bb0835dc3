/** `lbs clean`: gives up segments, and says which and what that costs. */
import { EXIT } from '../errors.ts';
import type { CleanSummary, CleanedSegment } from '../maintain/clean.ts';
import { humanCount, humanSize } from '../std/human-size.ts';
import type { CommandInput } from './command.ts';
import type { FlagValues } from './flag-values.ts';
import { openReport, verbosityOf } from './open-report.ts';
import type { Output } from './output.ts';
import { percentOf } from './percent.ts';
import { segmentSaid } from './show-segment.ts';
import { present, refuseOperands, storeOf } from './store-flags.ts';

function summaryLines(summary: CleanSummary): string[] {
  const { dryRun, segments, storedBytes, bytesToStore, segmentsLeft } = summary;
  const count = `${humanCount(segments)} ${segments === 1 ? 'segment' : 'segments'}`;
  const words = dryRun ? 'would be given up' : 'given up';
  const lines = [
    `${count} ${words}, ${humanSize(storedBytes)} in the store; ${humanCount(segmentsLeft)} left as they are`,
  ];
  if (segments > 0) {
    lines.push(
      `the next backups store ${humanSize(bytesToStore)} of content anew, before the filter, and its metadata; "lbs gc" removes the segments when no snapshot names them`,
    );
  }
  return lines;
}

/** @throws {LbsError} usage */
export function minUsedOf(flags: FlagValues): number | undefined {
  const percent = percentOf(flags, 'min-used');
  return percent === undefined ? undefined : percent / 100;
}

/** How cleaning is told of. */
export function cleaningSaid(
  flags: FlagValues,
  out: Output,
): { onSegment: (segment: CleanedSegment) => void; done: (summary: CleanSummary) => void } {
  const isDryRun = flags.isOn('dry-run');
  const isJson = flags.isOn('json');
  const verbosity = verbosityOf(flags);
  return {
    onSegment: segmentSaid(flags, out),
    done: (summary) => {
      if (isJson) {
        const { segments, segmentsLeft: left, storedBytes } = summary;
        const sizes = {
          stored_bytes: storedBytes,
          bytes_to_store: summary.bytesToStore,
          metadata_bytes_to_store: summary.metadataBytesToStore,
        };
        const fields = { dry_run: isDryRun, segments, segments_left: left, ...sizes };
        out.line(JSON.stringify({ message_type: 'summary', ...fields }));
      } else if (verbosity !== 'quiet') for (const line of summaryLines(summary)) out.line(line);
    },
  };
}

/** Cleans; 0 when it is done. */
export async function runClean(input: CommandInput): Promise<number> {
  const { flags, outputs } = input;
  const report = openReport('clean', flags, outputs);
  try {
    const store = storeOf(flags, 'lbs clean --store=/mnt/backup');
    refuseOperands(flags, 0, 'clean --store=STORE');
    const { clean } = await import('../maintain/clean.ts');
    const said = cleaningSaid(flags, outputs.out);
    said.done(
      await clean({
        store,
        dryRun: flags.isOn('dry-run'),
        ...present({ localdb: flags.text('localdb'), minUsed: minUsedOf(flags) }),
        onSegment: said.onSegment,
      }),
    );
    return EXIT.done;
  } finally {
    report.close();
  }
}
