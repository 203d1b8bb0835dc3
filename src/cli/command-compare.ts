/** `lbs compare`: is the disk still as the snapshot has it? A restore drill that writes nothing. */
import { LbsError } from '../errors.ts';
import type { CommandInput } from './command.ts';
import { compareLive } from './live-comparison.ts';
import { openReport } from './open-report.ts';
import { COMPARE } from './options-inspect.ts';
import { Output } from './output.ts';
import { present, refuseOperands } from './store-flags.ts';

/** Compares; 0 when all is equal, 3 when not. */
export async function runCompare(input: CommandInput): Promise<number> {
  const { flags, outputs } = input;
  const report = openReport('compare', flags, outputs);
  const out = new Output(process.stdout, true);
  try {
    const usage = `compare ${COMPARE.usage.join('')}`;
    refuseOperands(flags, 2, usage);
    const snapshot = flags.operandText(0, 'SNAPSHOT');
    if (!snapshot) {
      throw new LbsError('usage', 'no snapshot given', { hint: `usage: lbs ${usage}` });
    }
    const path = flags.operands[1];
    const what = { snapshot, readAll: true, isDrill: true, ...present({ path }) };
    return await compareLive(input, report, out, what);
  } finally {
    report.close();
    await out.flush();
  }
}
