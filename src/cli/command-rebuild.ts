/** `lbs rebuild`: a new local database from a store. */
import { EXIT } from '../errors.ts';
import { humanCount } from '../std/human-size.ts';
import type { CommandInput } from './command.ts';
import { openReport, verbosityOf } from './open-report.ts';
import { present, readOptionsOf, refuseOperands } from './store-flags.ts';

/** Rebuilds; 4 when something of the store could not be read, 3 when something was not believed. */
export async function runRebuild(input: CommandInput): Promise<number> {
  const { flags, outputs } = input;
  const { out } = outputs;
  const report = openReport('rebuild', flags, outputs);
  try {
    const reading = readOptionsOf(input, 'lbs rebuild --store=/mnt/backup');
    refuseOperands(flags, 0, 'rebuild --store=STORE');
    const { rebuild } = await import('../maintain/rebuild.ts');
    const summary = await rebuild({
      ...reading,
      ...present({ localdb: flags.text('localdb'), check: flags.switch('check') }),
      report: report.report,
    });
    report.close();
    const { snapshots, segments, blocks, hashed, damaged, unsigned } = summary;
    if (flags.isOn('json')) out.line(JSON.stringify({ message_type: 'summary', ...summary }));
    else if (verbosityOf(flags) !== 'quiet') {
      const from = `${humanCount(snapshots)} ${snapshots === 1 ? 'snapshot' : 'snapshots'}`;
      out.line(
        `the local database knows ${humanCount(blocks)} blocks in ${humanCount(segments)} segments of ${from}`,
      );
      if (hashed > 0) out.line(`${humanCount(hashed)} segments were read for it as a whole`);
      out.line('the next backup reads every file, and stores only what is new');
    }
    if (damaged > 0) return EXIT.damaged;
    return unsigned > 0 ? EXIT.incomplete : EXIT.done;
  } finally {
    report.close();
  }
}
