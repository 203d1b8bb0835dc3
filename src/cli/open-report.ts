/** Chooses how a command tells what it does, by -v, -q, --json and --progress. */
import { LbsError } from '../errors.ts';
import type { CommandReport, Outputs, Verbosity } from './command-report.ts';
import type { FlagValues } from './flag-values.ts';
import { JsonReport } from './json-report.ts';
import type { CommandName } from './options.ts';
import { ProgressLine } from './progress-line.ts';
import { TextReport } from './text-report.ts';

/** @throws {LbsError} usage when both -v and -q are given */
export function verbosityOf(flags: FlagValues): Verbosity {
  const isQuiet = flags.isOn('quiet');
  const isVerbose = flags.isOn('verbose');
  if (isQuiet && isVerbose) {
    throw new LbsError('usage', 'give either --verbose or --quiet, not both');
  }
  return isQuiet ? 'quiet' : isVerbose ? 'verbose' : 'normal';
}

/** The report that the options of a command ask for. @throws {LbsError} usage */
export function openReport(
  command: CommandName,
  flags: FlagValues,
  { out, err }: Outputs,
): CommandReport {
  const verbosity = verbosityOf(flags);
  const wanted = flags.switch('progress');
  if (flags.isOn('json')) {
    const hasStatus = wanted ?? verbosity !== 'quiet';
    return new JsonReport({ command, out, verbosity, hasStatus });
  }
  // A terminal that cannot erase a line would show a heap of them.
  const isTerminal = process.stderr.isTTY && process.env['TERM'] !== 'dumb';
  const hasProgress = wanted ?? (isTerminal && verbosity !== 'quiet');
  const terminal = {
    write: (text: string) => err.raw(text),
    get columns() {
      return process.stderr.isTTY ? process.stderr.columns : 80;
    },
  };
  const progress = hasProgress ? new ProgressLine(terminal) : undefined;
  const isDryRun = flags.isOn('dry-run');
  return new TextReport({ command, out, err, verbosity, isDryRun, progress });
}
