/** What every command is given by main, and what it gives back: an exit code. */
import type { Outputs } from './command-report.ts';
import type { FlagValues } from './flag-values.ts';

export type CommandInput = {
  readonly flags: FlagValues;
  readonly outputs: Outputs;
  /** Aborted by the first signal. */
  readonly signal: AbortSignal;
};

/** Does the work; resolves with the exit code. Errors are thrown for main to show. */
export type Command = (input: CommandInput) => Promise<number>;
