/** `lbs repair`: descriptors, checksums files and a local database made again. */
import { EXIT } from '../errors.ts';
import type { RepairedFile } from '../maintain/repair-options.ts';
import { showText } from '../std/byte-path.ts';
import { humanCount } from '../std/human-size.ts';
import type { CommandInput } from './command.ts';
import { openReport, verbosityOf } from './open-report.ts';
import { present, readOptionsOf, refuseOperands } from './store-flags.ts';
import { signingOf } from './storing-flags.ts';

/** Repairs; 4 when something could not be made again. */
export async function runRepair(input: CommandInput): Promise<number> {
  const { flags, outputs } = input;
  const { out } = outputs;
  const report = openReport('repair', flags, outputs);
  try {
    const reading = readOptionsOf(input, 'lbs repair --store=/mnt/backup');
    refuseOperands(flags, 0, 'repair --store=STORE');
    const { repair } = await import('../maintain/repair.ts');
    const dryRun = flags.isOn('dry-run');
    const summary = await repair({
      ...reading,
      ...signingOf(flags),
      ...present({ localdb: flags.text('localdb') }),
      ...{ dryRun, report: report.report },
    });
    report.close();
    const { made, hasNewLocaldb, left } = summary;
    if (flags.isOn('json')) {
      const files = made.map(({ name, keptAs, isProved }) => ({
        ...{ name, kept_as: keptAs ?? null, proved: isProved },
      }));
      const fields = { dry_run: dryRun, made: files, new_localdb: hasNewLocaldb, left };
      out.line(JSON.stringify({ message_type: 'summary', ...fields }));
    } else if (verbosityOf(flags) !== 'quiet') {
      for (const file of made) out.line(wordsOf(file, dryRun));
      if (hasNewLocaldb) out.line(`the local database [${dryRun ? 'to be made' : 'made'} again]`);
      const count = made.length + (hasNewLocaldb ? 1 : 0);
      out.line(
        count + left === 0
          ? 'nothing is lost that could be made again'
          : `${humanCount(count)} ${dryRun ? 'could be made' : 'made'} again, ${humanCount(left)} left as they are`,
      );
    }
    return left > 0 ? EXIT.damaged : EXIT.done;
  } finally {
    report.close();
  }
}

function wordsOf({ name, keptAs, isProved }: RepairedFile, isDry: boolean): string {
  const made = `${isDry ? 'to be made' : 'made'} again${isProved ? '' : ', not proved'}`;
  const kept = keptAs === undefined ? '' : `; the damaged one is ${showText(keptAs)}`;
  return `${showText(name)} [${made}${kept}]`;
}
