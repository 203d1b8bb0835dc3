/** `lbs diff`: what differs between two snapshots, or from the disk, a line for each path. */
import { EXIT, LbsError } from '../errors.ts';
import type { Report } from '../report.ts';
import type { CommandInput } from './command.ts';
import { compareLive } from './live-comparison.ts';
import { openReport } from './open-report.ts';
import { DIFF } from './options-inspect.ts';
import { Output } from './output.ts';
import { writeChanges } from './show-change.ts';
import { present, readOptionsOf, refuseOperands } from './store-flags.ts';

/** No name of a snapshot has a slash in it. */
function isPath(word: Buffer): boolean {
  const text = word.toString('latin1');
  return text === '.' || text === '..' || text.includes('/');
}

/** Shows differences. */
export async function runDiff(input: CommandInput): Promise<number> {
  const { flags, outputs } = input;
  const report = openReport('diff', flags, outputs);
  const out = new Output(process.stdout, true);
  try {
    const usage = `diff ${DIFF.usage.join('')}`;
    refuseOperands(flags, 2, usage);
    const snapshot = flags.operandText(0, 'SNAPSHOT');
    if (!snapshot) {
      throw new LbsError('usage', 'no snapshot given', { hint: `usage: lbs ${usage}` });
    }
    const path = flags.operands[1];
    if (path === undefined || isPath(path)) {
      const what = { snapshot, readAll: flags.isOn('read'), isDrill: false, ...present({ path }) };
      return await compareLive(input, report, out, what);
    }
    const reading = readOptionsOf(input, 'lbs diff --store=/mnt/backup latest~1 latest');
    const other = flags.operandText(1, 'SNAPSHOT2') ?? '';
    const { diff } = await import('../inspect/diff.ts');
    let isDamaged = false;
    const watched: Report = (event) => {
      isDamaged ||= event.type === 'damage';
      report.report(event);
    };
    const found = await diff({ ...reading, snapshot, other, report: watched });
    try {
      const [isJson, isStat] = [flags.isOn('json'), flags.isOn('stat')];
      await writeChanges(found, out, { isJson, isStat, signal: input.signal });
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
