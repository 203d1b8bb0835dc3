/** `lbs sync` and `lbs heal`: from store to store. */
import { EXIT, LbsError } from '../errors.ts';
import type { HealParityOptions } from '../maintain/heal-parity.ts';
import type { HealSummary } from '../maintain/heal-options.ts';
import { humanCount, humanSize } from '../std/human-size.ts';
import type { CommandInput } from './command.ts';
import { openReport, verbosityOf } from './open-report.ts';
import { HEAL, SYNC } from './options-copy.ts';
import { decryptKeyOf, present, readOptionsOf, schemeOf, unfiltersOf } from './store-flags.ts';

const counted = (count: number, one: string) =>
  `${humanCount(count)} ${count === 1 ? one : `${one}s`}`;

/** Copies snapshots; 4 when some could not be copied because the source is damaged. */
export async function runSync(input: CommandInput): Promise<number> {
  const { flags, outputs, signal } = input;
  const { out } = outputs;
  const report = openReport('sync', flags, outputs);
  try {
    const source = flags.operandText(0, 'SOURCE');
    const destination = flags.operandText(1, 'DESTINATION');
    if (!source || !destination) {
      throw new LbsError('usage', source ? 'no destination given' : 'no source given', {
        hint: `usage: lbs sync ${SYNC.usage.join('')}`,
      });
    }
    const snapshots = flags.operands
      .slice(2)
      .map((_, at) => flags.operandText(at + 2, 'SNAPSHOT') ?? '');
    const { sync } = await import('../maintain/sync.ts');
    const summary = await sync({
      ...{ source, destination, snapshots, signal, report: report.report },
      dryRun: flags.isOn('dry-run'),
      ...present({
        scheme: schemeOf(flags),
        verifyKey: flags.text('verify-key'),
        unfilters: unfiltersOf(flags),
        decryptKey: decryptKeyOf(flags),
      }),
    });
    report.close();
    const { copied, present: known, segments, bytes, damaged, dryRun } = summary;
    if (flags.isOn('json')) {
      const fields = { dry_run: dryRun, copied, present: known, segments, bytes, damaged };
      out.line(JSON.stringify({ message_type: 'summary', ...fields }));
    } else if (verbosityOf(flags) !== 'quiet') {
      const words = dryRun ? 'would be copied' : 'copied';
      out.line(
        `${counted(copied.length, 'snapshot')} ${words}, ${humanCount(known.length)} there already; ${humanSize(bytes)} with ${counted(segments, 'segment')}`,
      );
    }
    return damaged > 0 ? EXIT.damaged : EXIT.done;
  } finally {
    report.close();
  }
}

async function healFrom(from: string, options: HealParityOptions): Promise<HealSummary> {
  const { heal } = await import('../maintain/heal.ts');
  return await heal({ ...options, from });
}

/** @throws {LbsError} usage where there is no parity either */
async function healAlone(options: HealParityOptions, usage: string): Promise<HealSummary> {
  const { hasParity, healFromParity } = await import('../maintain/heal-parity.ts');
  if (hasParity(options.store)) return await healFromParity(options);
  throw new LbsError('usage', 'no --from=OTHER given, and the store has no parity', {
    hint: usage,
  });
}

/** Heals; 4 when something is damaged still. */
export async function runHeal(input: CommandInput): Promise<number> {
  const { flags, outputs } = input;
  const { out } = outputs;
  const report = openReport('heal', flags, outputs);
  try {
    const reading = readOptionsOf(input, HEAL.example.join(''));
    const from = flags.text('from');
    const usage = `usage: lbs heal ${HEAL.usage.join('')}`;
    if (flags.operands.length > 0) {
      throw new LbsError('usage', 'heal takes no arguments', { hint: usage });
    }
    const dryRun = flags.isOn('dry-run');
    const options = { ...reading, dryRun, report: report.report };
    const summary = await (from ? healFrom(from, options) : healAlone(options, usage));
    report.close();
    const { damaged, healed, left } = summary;
    if (flags.isOn('json')) {
      const fields = { dry_run: dryRun, damaged, healed, left };
      out.line(JSON.stringify({ message_type: 'summary', ...fields }));
    } else if (verbosityOf(flags) !== 'quiet') {
      const words = dryRun ? 'could be healed' : 'healed';
      out.line(
        damaged === 0
          ? 'nothing is damaged'
          : `${counted(damaged, 'file')} damaged, ${humanCount(healed)} ${words}, ${humanCount(left)} left as they are`,
      );
    }
    return left > 0 ? EXIT.damaged : EXIT.done;
  } finally {
    report.close();
  }
}
