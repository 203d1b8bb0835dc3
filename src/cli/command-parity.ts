/** `lbs parity`: sets of par2 over segments. */
import { EXIT } from '../errors.ts';
import { humanCount, humanSize } from '../std/human-size.ts';
import type { CommandInput } from './command.ts';
import { openReport, verbosityOf } from './open-report.ts';
import { percentOf } from './percent.ts';
import { present, readOptionsOf, refuseOperands } from './store-flags.ts';

/** Makes parity; 4 when something was left out because it is damaged. */
export async function runParity(input: CommandInput): Promise<number> {
  const { flags, outputs } = input;
  const { out } = outputs;
  const report = openReport('parity', flags, outputs);
  try {
    const reading = readOptionsOf(input, 'lbs parity --store=/mnt/backup');
    refuseOperands(flags, 0, 'parity --store=STORE');
    const { makeParity } = await import('../maintain/parity.ts');
    const summary = await makeParity({
      ...reading,
      ...present({ redundancyPercent: percentOf(flags, 'redundancy') }),
      ...{ dryRun: flags.isOn('dry-run'), report: report.report },
    });
    report.close();
    const { dryRun, sets, bytes, segments, known, damaged } = summary;
    if (flags.isOn('json')) {
      const fields = { dry_run: dryRun, sets, bytes, segments, known, damaged };
      out.line(JSON.stringify({ message_type: 'summary', ...fields }));
    } else if (verbosityOf(flags) !== 'quiet') {
      const made = `${humanCount(sets)} ${sets === 1 ? 'set' : 'sets'} of ${humanCount(segments)} segments`;
      const words = dryRun ? 'would be made' : `made, ${humanSize(bytes)}`;
      out.line(`${made} ${words}; ${humanCount(known)} segments were protected already`);
    }
    return damaged > 0 ? EXIT.damaged : EXIT.done;
  } finally {
    report.close();
  }
}
