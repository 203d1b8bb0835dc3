/** `lbs diff`: what differs between two snapshots, a line for each path. */
import { EXIT, LbsError } from '../errors.ts';
import type { Report } from '../report.ts';
import type { CommandInput } from './command.ts';
import { openReport } from './open-report.ts';
import { DIFF } from './options.ts';
import { Output } from './output.ts';
import { writeChanges } from './show-change.ts';
import { readOptionsOf, refuseOperands } from './store-flags.ts';

/** Shows differences. */
export async function runDiff(input: CommandInput): Promise<number> {
  const { flags, outputs } = input;
  const report = openReport('diff', flags, outputs);
  const out = new Output(process.stdout, true);
  try {
    const reading = readOptionsOf(input, 'lbs diff --store=/mnt/backup latest~1 latest');
    const usage = `diff ${DIFF.usage.join('')}`;
    refuseOperands(flags, 2, usage);
    const snapshot = flags.operandText(0, 'SNAPSHOT');
    const other = flags.operandText(1, 'SNAPSHOT2');
    if (!snapshot || !other) {
      throw new LbsError('usage', `no ${snapshot ? 'second ' : ''}snapshot given`, {
        hint: `usage: lbs ${usage}`,
      });
    }
    const { diff } = await import('../inspect/diff.ts');
    let isDamaged = false;
    const watched: Report = (event) => {
      isDamaged ||= event.type === 'damage';
      report.report(event);
    };
    const found = await diff({ ...reading, snapshot, other, report: watched });
    try {
      await writeChanges(found, out, { isJson: flags.isOn('json'), isStat: flags.isOn('stat') });
    } finally {
      found.close();
    }
    // What could not be compared must not pass for equal.
    return isDamaged ? EXIT.damaged : EXIT.done;
  } finally {
    report.close();
    await out.flush();
  }
}
