/** A segment that is given up, as `clean` and `compact` show it: a line, or JSON. */
import type { CleanedSegment } from '../maintain/clean.ts';
import { showText } from '../std/byte-path.ts';
import { humanSize } from '../std/human-size.ts';
import type { FlagValues } from './flag-values.ts';
import { verbosityOf } from './open-report.ts';
import type { Output } from './output.ts';

function segmentLine({ file, ageDays, used, storedBytes }: CleanedSegment): string {
  const percent = Math.round(used * 100);
  return `${showText(file)} [${percent}% used, ${Math.floor(ageDays)} days old, ${humanSize(storedBytes)}]`;
}

/** Without --verbose only a dry run names them in text. */
export function segmentSaid(flags: FlagValues, out: Output): (segment: CleanedSegment) => void {
  const isJson = flags.isOn('json');
  const isNamed = flags.isOn('dry-run') || verbosityOf(flags) === 'verbose';
  return (segment) => {
    if (isJson) {
      const { file, group, ageDays, used, storedBytes } = segment;
      const fields = { file, group, age_days: ageDays, used, stored_bytes: storedBytes };
      out.line(JSON.stringify({ message_type: 'segment', ...fields }));
    } else if (isNamed) out.line(segmentLine(segment));
  };
}
