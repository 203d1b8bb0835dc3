/** `lbs cat`: the content of files of a snapshot to standard output. */
import { EXIT, LbsError } from '../errors.ts';
import type { CatOptions } from '../maintain/cat.ts';
import { ByteOutput } from './byte-output.ts';
import type { CommandInput } from './command.ts';
import { openReport } from './open-report.ts';
import { CAT } from './options-inside.ts';
import { readOptionsOf } from './store-flags.ts';

/** Writes contents to standard output; the exit code. @throws {LbsError} as `cat` */
export async function catToOutput(options: Omit<CatOptions, 'write'>): Promise<number> {
  const { cat } = await import('../maintain/cat.ts');
  const { write } = new ByteOutput(process.stdout, process.stdout.fd);
  return (await cat({ ...options, write })) ? EXIT.damaged : EXIT.done;
}

/** Writes contents; 4 when one of them cannot be had as it was. */
export async function runCat(input: CommandInput): Promise<number> {
  const { flags, outputs } = input;
  const report = openReport('cat', flags, outputs);
  try {
    const reading = readOptionsOf(input, 'lbs cat --store=/mnt/backup latest home/ann/letters/bea');
    const snapshot = flags.operandText(0, 'SNAPSHOT');
    const paths = flags.operands.slice(1);
    if (!snapshot || paths.length === 0) {
      const missing = snapshot ? 'no path given' : 'no snapshot given';
      throw new LbsError('usage', missing, { hint: `usage: lbs cat ${CAT.usage.join('')}` });
    }
    return await catToOutput({ ...reading, snapshot, paths, report: report.report });
  } finally {
    report.close();
  }
}
