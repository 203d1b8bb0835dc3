/** `lbs dump`: a snapshot, or parts of it, as a tar or zip archive to standard output. */
import { EXIT, LbsError } from '../errors.ts';
import type { ArchiveFormat } from '../maintain/dump.ts';
import { showText } from '../std/byte-path.ts';
import { ByteOutput } from './byte-output.ts';
import type { CommandInput } from './command.ts';
import type { FlagValues } from './flag-values.ts';
import { openReport } from './open-report.ts';
import { DUMP } from './options-inside.ts';
import { snapshotPaths } from './selection-flags.ts';
import { readOptionsOf } from './store-flags.ts';

/** Writes the archive; 3 when that has no form for something, 4 when the store is damaged. */
export async function runDump(input: CommandInput): Promise<number> {
  const { flags, outputs } = input;
  const report = openReport('dump', flags, outputs);
  try {
    const reading = readOptionsOf(input, 'lbs dump --store=/mnt/backup latest home > home.tar');
    const snapshot = flags.operandText(0, 'SNAPSHOT');
    if (!snapshot) {
      const hint = `usage: lbs dump ${DUMP.usage.join('')}`;
      throw new LbsError('usage', 'no snapshot given', { hint });
    }
    const format = formatOf(flags);
    const isSparse = flags.isOn('sparse');
    if (isSparse && format !== 'tar') {
      throw new LbsError('usage', `--sparse is for tar; there are no holes in ${format} archives`);
    }
    if (process.stdout.isTTY) {
      throw new LbsError('usage', 'an archive is not written to a terminal', {
        hint: 'send it to a file or a program: lbs dump ... > FILE, or lbs dump ... | tar xf -',
      });
    }
    const { dump } = await import('../maintain/dump.ts');
    const { write } = new ByteOutput(process.stdout, process.stdout.fd);
    const paths = snapshotPaths(flags.operands.slice(1));
    const how = { format, isSparse, write, report: report.report };
    const done = await dump({ ...reading, snapshot, paths, ...how });
    if (done.damaged > 0) return EXIT.damaged;
    return done.warnings > 0 ? EXIT.incomplete : EXIT.done;
  } finally {
    report.close();
  }
}

/** @throws {LbsError} usage */
function formatOf(flags: FlagValues): ArchiveFormat {
  const format = flags.text('format') ?? 'tar';
  if (format === 'tar' || format === 'zip') return format;
  throw new LbsError('usage', `--format=${showText(format)} is not known: tar and zip are`);
}
