/** `lbs ls`: the entries of a snapshot, written as they are read, so memory stays flat. */
import { EXIT, LbsError } from '../errors.ts';
import type { Entry } from '../format/entry.ts';
import type { Report } from '../report.ts';
import { showPath } from '../std/byte-path.ts';
import type { CommandInput } from './command.ts';
import { Output } from './output.ts';
import { openReport } from './open-report.ts';
import { LS } from './options-inside.ts';
import { jsonLine, longLine } from './show-entry.ts';
import { present, readOptionsOf, refuseOperands } from './store-flags.ts';

/** Lists entries. */
export async function runLs(input: CommandInput): Promise<number> {
  const { flags, outputs } = input;
  const report = openReport('ls', flags, outputs);
  const out = new Output(process.stdout, true);
  try {
    const reading = readOptionsOf(input, 'lbs ls --store=/mnt/backup latest');
    const usage = `ls ${LS.usage.join('')}`;
    refuseOperands(flags, 2, usage);
    const snapshot = flags.operandText(0, 'SNAPSHOT');
    if (!snapshot)
      throw new LbsError('usage', 'no snapshot given', { hint: `usage: lbs ${usage}` });
    const lineOf = flags.isOn('json')
      ? jsonLine
      : flags.isOn('long')
        ? longLine
        : (entry: Entry) => showPath(entry.path);
    const { entries } = await import('../maintain/list-entries.ts');
    const path = flags.operands[1];
    let isDamaged = false;
    const watched: Report = (event) => {
      isDamaged ||= event.type === 'damage';
      report.report(event);
    };
    const isShallow = !flags.isOn('recursive');
    const options = { ...reading, snapshot, isShallow, report: watched, ...present({ path }) };
    for await (const entry of entries(options)) {
      out.line(lineOf(entry));
      await out.room(input.signal);
      // The reader has seen enough (`lbs ls | head`).
      if (out.isClosed) break;
    }
    // A list with gaps must not pass for the whole.
    return isDamaged ? EXIT.damaged : EXIT.done;
  } finally {
    report.close();
    await out.flush();
  }
}
