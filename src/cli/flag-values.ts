/**
 * The value of each option, from the four places it may come from: the command line wins over
 * the environment, that over the configuration file, that over the default. Lists add up:
 * the configuration's items first, then the command line's.
 */
import { LbsError } from '../errors.ts';
import type { BytePath } from '../std/byte-path.ts';
import { utf8Of } from '../std/byte-path.ts';
import type { ParsedFlags } from './parse-flags.ts';

export type Values = ReadonlyMap<string, readonly Buffer[]>;

/** Options that an environment variable can give. */
const VARIABLE_OF_OPTION = new Map([
  ['store', 'LBS_STORE'],
  ['verify-key', 'LBS_VERIFY_KEY'],
]);

function asText(name: string, bytes: Buffer): string {
  const text = utf8Of(bytes);
  if (text === undefined) throw new LbsError('usage', `the value of ${name} is not UTF-8 text`);
  return text;
}

export class FlagValues {
  readonly operands: readonly BytePath[];
  readonly #given: Values;
  readonly #config: Values;
  readonly #env: NodeJS.ProcessEnv;

  constructor(parsed: ParsedFlags, config: Values, env: NodeJS.ProcessEnv) {
    this.operands = parsed.operands;
    this.#given = parsed.given;
    this.#config = config;
    this.#env = env;
  }

  /** True when the option stands on the command line. */
  isGiven(name: string): boolean {
    return this.#given.has(name);
  }

  /** True when the option stands on the command line or in the configuration. */
  isSet(name: string): boolean {
    return this.#given.has(name) || this.#config.has(name);
  }

  /** A switch; undefined when nothing sets it. */
  switch(name: string): boolean | undefined {
    const value = this.#given.get(name)?.at(-1) ?? this.#config.get(name)?.at(-1);
    return value === undefined ? undefined : value.toString() === 'yes';
  }

  isOn(name: string): boolean {
    return this.switch(name) === true;
  }

  /** The last value of an option; undefined when nothing sets it. @throws {LbsError} usage */
  text(name: string): string | undefined {
    const variable = VARIABLE_OF_OPTION.get(name);
    const fromEnv = variable === undefined ? undefined : this.#env[variable];
    const given = this.#given.get(name)?.at(-1);
    if (given !== undefined) return asText(`--${name}`, given);
    if (fromEnv !== undefined && fromEnv !== '') return fromEnv;
    const configured = this.#config.get(name)?.at(-1);
    return configured === undefined ? undefined : asText(name, configured);
  }

  /**
   * All values from the first of the four places where it stands: of options that name what a command
   * works on, where adding up would be a surprise. @throws {LbsError} usage
   */
  choices(name: string): string[] {
    const given = this.#given.get(name);
    if (given !== undefined) return given.map((value) => asText(`--${name}`, value));
    const variable = VARIABLE_OF_OPTION.get(name);
    const fromEnv = variable === undefined ? undefined : this.#env[variable];
    if (fromEnv !== undefined && fromEnv !== '') return [fromEnv];
    return (this.#config.get(name) ?? []).map((value) => asText(name, value));
  }

  /** All values of a repeatable option, as bytes. */
  list(name: string): Buffer[] {
    return [...(this.#config.get(name) ?? []), ...(this.#given.get(name) ?? [])];
  }

  /** The values of a repeatable option that the configuration has, as bytes. */
  configured(name: string): readonly Buffer[] {
    return this.#config.get(name) ?? [];
  }

  /** The values of a repeatable option that stand on the command line, as bytes. */
  given(name: string): readonly Buffer[] {
    return this.#given.get(name) ?? [];
  }

  /** All values of a repeatable option, as text. @throws {LbsError} usage */
  texts(name: string): string[] {
    return this.list(name).map((value) => asText(`--${name}`, value));
  }

  /** One operand as text, `what` naming it. @throws {LbsError} usage when it is not UTF-8 */
  operandText(at: number, what: string): string | undefined {
    const operand = this.operands[at];
    return operand === undefined ? undefined : asText(what, operand);
  }
}
