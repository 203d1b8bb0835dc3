/** `lbs verify`: options to a call of the library's `verify`, its summary to an exit code. */
import { EXIT, LbsError } from '../errors.ts';
import type { VerifyDepth } from '../maintain/verify-options.ts';
import type { CommandInput } from './command.ts';
import type { FlagValues } from './flag-values.ts';
import { openReport } from './open-report.ts';
import { present, readOptionsOf } from './store-flags.ts';

const DEPTHS: readonly VerifyDepth[] = ['checksums', 'objects', 'data'];

/** @throws {LbsError} usage when more than one is asked for */
function depthOf(flags: FlagValues): VerifyDepth {
  const asked = DEPTHS.filter((depth) => flags.isOn(depth));
  if (asked.length < 2) return asked[0] ?? 'checksums';
  throw new LbsError(
    'usage',
    `give one of --${asked.join(' and --')}: each includes those before`,
    {
      hint: 'the most thorough is --data',
    },
  );
}

/** Verifies; 0 when all is well, 4 when anything is damaged, 12 when snapshots were tampered with. */
export async function runVerify(input: CommandInput): Promise<number> {
  const { flags, outputs } = input;
  const report = openReport('verify', flags, outputs);
  try {
    const reading = readOptionsOf(input, 'lbs verify --store=/mnt/backup');
    const depth = depthOf(flags);
    const snapshots = flags.operands.map((_, at) => flags.operandText(at, 'SNAPSHOT') ?? '');
    const { verify } = await import('../maintain/verify.ts');
    const local = present({ localdb: flags.text('localdb') });
    const summary = await verify({ ...reading, ...local, depth, snapshots, report: report.report });
    report.verifyDone(summary);
    if (summary.damage.some(({ what }) => what === 'history')) return EXIT.signature;
    return summary.damage.length > 0 ? EXIT.damaged : EXIT.done;
  } finally {
    report.close();
  }
}
