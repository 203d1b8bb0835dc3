/** Percentages as option values. */
import { LbsError } from '../errors.ts';
import type { FlagValues } from './flag-values.ts';

/** 0 to 100, with or without a `%`; undefined when the option is not given. @throws {LbsError} usage */
export function percentOf(flags: FlagValues, option: string): number | undefined {
  const text = flags.text(option);
  if (text === undefined) return undefined;
  const percent = Number(text.replace(/%$/, ''));
  if (/^\d+(?:\.\d+)?%?$/.test(text) && percent <= 100) return percent;
  throw new LbsError('usage', `--${option}=${JSON.stringify(text)} is not a percentage`, {
    hint: 'write a number from 0 to 100',
  });
}
