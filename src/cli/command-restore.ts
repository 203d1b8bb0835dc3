/** `lbs restore`: options to a call of the library's `restore`, its summary to an exit code. */
import { EXIT, LbsError } from '../errors.ts';
import type { CommandInput } from './command.ts';
import { openReport } from './open-report.ts';
import { RESTORE } from './options.ts';
import { readOptionsOf } from './store-flags.ts';

/** Restores; 0, 3 when something could not be put back as recorded, 4 when the store is damaged. */
export async function runRestore(input: CommandInput): Promise<number> {
  const { flags, outputs } = input;
  const report = openReport('restore', flags, outputs);
  try {
    const reading = readOptionsOf(input, 'lbs restore --store=/mnt/backup latest /tmp/back');
    const snapshot = flags.operandText(0, 'SNAPSHOT');
    const target = flags.operandText(1, 'TARGET');
    if (!snapshot || !target) {
      const missing = snapshot ? 'no target directory given' : 'no snapshot given';
      throw new LbsError('usage', missing, {
        hint: `usage: lbs restore ${RESTORE.usage.join('')}`,
      });
    }
    const { restore } = await import('../restore/restore.ts');
    const summary = await restore({
      ...reading,
      snapshot,
      target,
      paths: flags.operands.slice(2),
      numericOwner: flags.isOn('numeric-owner'),
      report: report.report,
    });
    report.restoreDone(summary);
    if (summary.damaged > 0) return EXIT.damaged;
    return summary.warnings > 0 ? EXIT.incomplete : EXIT.done;
  } finally {
    report.close();
  }
}
