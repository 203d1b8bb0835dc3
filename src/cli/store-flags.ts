/** From options to the fields that several library functions share: store, keys, filters. */
import { LbsError } from '../errors.ts';
import { checkScheme } from '../format/snapshot-name.ts';
import { DecryptKey } from '../segments/decrypt-key.ts';
import type { ReadOptions } from '../restore/restore-options.ts';
import type { CommandInput } from './command.ts';
import type { FlagValues } from './flag-values.ts';

type Present<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** The fields that have a value: a library option is either absent or set. */
export function present<T extends object>(fields: T): Present<T> {
  const set = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(set) as Present<T>;
}

/** The one store that was asked for. `example` shows a whole command. @throws {LbsError} usage */
export function storeOf(flags: FlagValues, example: string): string {
  const [store, ...others] = storesOf(flags, example);
  if (others.length === 0) return store;
  const isGiven = flags.isGiven('store');
  throw new LbsError(
    'usage',
    isGiven
      ? `--store is given ${1 + others.length} times, and this command works on one store`
      : `the configuration names ${1 + others.length} stores, and this command works on one`,
    { hint: `name it: --store=${store}` },
  );
}

/** The stores of a backup. @throws {LbsError} usage */
export function storesOf(flags: FlagValues, example: string): [string, ...string[]] {
  const [store = '', ...others] = flags.choices('store');
  if (others.length > 0 && [store, ...others].includes('')) {
    // Left out, it would be a backup in fewer places than were asked for.
    throw new LbsError('usage', 'one of the stores (--dest or --store) is empty', {
      hint: 'is a variable in a script not set?',
    });
  }
  if (store !== '') return [store, ...others];
  throw new LbsError('usage', 'no store given: --dest (or --store) says where the backups are', {
    hint: `for example: ${example}`,
  });
}

/** The scheme, checked. @throws {LbsError} usage */
export function schemeOf(flags: FlagValues): string | undefined {
  const scheme = flags.text('scheme');
  return scheme === undefined ? undefined : checkScheme(scheme);
}

/** Reverse filters by extension; undefined when there are none. @throws {LbsError} usage */
export function unfiltersOf(flags: FlagValues): ReadonlyMap<string, string> | undefined {
  const unfilters = new Map<string, string>();
  for (const text of flags.texts('unfilter')) {
    const equals = text.indexOf('=');
    const extension = text.slice(0, Math.max(0, equals)).trim();
    const command = text.slice(equals + 1).trim();
    if (!/^\.?[A-Za-z0-9][A-Za-z0-9._-]*$/.test(extension) || command === '') {
      throw new LbsError('usage', 'a value of --unfilter is not EXT=COMMAND', {
        hint: 'for example: --unfilter=".gpg=gpg --decrypt"',
      });
    }
    unfilters.set(extension.startsWith('.') ? extension : `.${extension}`, command);
  }
  return unfilters.size === 0 ? undefined : unfilters;
}

/** The secret keys that decrypt; the file is read when one is needed. @throws {LbsError} usage */
export function decryptKeyOf(flags: FlagValues): DecryptKey | undefined {
  const file = flags.text('decrypt-key');
  return file === undefined ? undefined : new DecryptKey(file);
}

/** What every command that reads a store needs. @throws {LbsError} usage */
export function readOptionsOf({ flags, signal }: CommandInput, example: string): ReadOptions {
  const verifyKey = flags.text('verify-key');
  return {
    store: storeOf(flags, example),
    signal,
    ...present({
      scheme: schemeOf(flags),
      verifyKey,
      unfilters: unfiltersOf(flags),
      decryptKey: decryptKeyOf(flags),
    }),
  };
}

/** Refuses operands that the command does not take. @throws {LbsError} usage */
export function refuseOperands(flags: FlagValues, max: number, usage: string): void {
  if (flags.operands.length <= max) return;
  throw new LbsError('usage', `${flags.operands.length} arguments are too many`, {
    hint: `usage: lbs ${usage}`,
  });
}
