/**
 * The program: arguments to a command, its result to an exit code, signals to an AbortSignal.
 *
 * The only place that turns errors into messages and exit codes. The first SIGINT, SIGTERM or
 * SIGHUP asks the run to stop tidily (exit 130 for all three: stopping was asked for); the
 * second ends the process at once, as the signal does by itself.
 */
import { setFlagsFromString } from 'node:v8';
import { argumentBytes } from './cli/argument-bytes.ts';
import type { Command } from './cli/command.ts';
import type { Outputs } from './cli/command-report.ts';
import { BACKUP, type CommandName, type CommandSpec, commandNamed } from './cli/options.ts';
import { Output } from './cli/output.ts';
import { EXIT, LbsError, errnoName, exitCodeOf, messageOf } from './errors.ts';
import { showText } from './std/byte-path.ts';
import { endGroups } from './std/child-groups.ts';
import { takeSecrets } from './std/secret.ts';
import { SpoolTrouble } from './std/spool-file.ts';
import { removeStagings } from './std/staging-directories.ts';

// The heap would grow to several times what is in use before it is cleaned. With this, and with
// what bin/lbs sets, a first backup of 192,000 entries peaks at 155 MB instead of 220, in the same time.
setFlagsFromString('--heap-growing-percent=100');

// Before anything else can start a program, or fail and be reported on by the runtime. A report that
// NODE_OPTIONS asks for is a file that others may read: what filters are given is not to be in it.
const hasSecrets = takeSecrets();
process.report.excludeEnv = true;

/** Options with secret keys. */
const SECRET_KEY_OPTIONS = ['sign-key', 'decrypt-key'] as const;

/** Set by --json once the options are read: then the last line of a failure is JSON too. */
let isJson = false;

/** How the process ends: help and mistakes in options need no libc for it. */
let leave: (code: number) => never = (code) => process.exit(code);

/** Profiles are written when the runtime ends in its usual way. */
function isProfiled(): boolean {
  return process.execArgv.some((arg) => /^--(cpu|heap)-prof/.test(arg));
}

/** Failures of commands, which a signal may have hit as well. */
const OF_COMMANDS: ReadonlySet<string> = new Set(['filter-failed', 'upload-failed']);

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Loaded on use, so that `lbs --help` or a typing error does not wait for the rest. */
const LOAD: Readonly<Record<CommandName, () => Promise<Command>>> = {
  backup: async () => (await import('./cli/command-backup.ts')).runBackup,
  cat: async () => (await import('./cli/command-cat.ts')).runCat,
  clean: async () => (await import('./cli/command-clean.ts')).runClean,
  compact: async () => (await import('./cli/command-compact.ts')).runCompact,
  compare: async () => (await import('./cli/command-compare.ts')).runCompare,
  diff: async () => (await import('./cli/command-diff.ts')).runDiff,
  dump: async () => (await import('./cli/command-dump.ts')).runDump,
  find: async () => (await import('./cli/command-find.ts')).runFind,
  forget: async () => (await import('./cli/command-forget.ts')).runForget,
  gc: async () => (await import('./cli/command-gc.ts')).runGc,
  heal: async () => (await import('./cli/command-copy.ts')).runHeal,
  history: async () => (await import('./cli/command-history.ts')).runHistory,
  hold: async () => (await import('./cli/command-notes.ts')).runHold,
  list: async () => (await import('./cli/command-list.ts')).runList,
  ls: async () => (await import('./cli/command-ls.ts')).runLs,
  parity: async () => (await import('./cli/command-parity.ts')).runParity,
  prune: async () => (await import('./cli/command-prune.ts')).runPrune,
  rebuild: async () => (await import('./cli/command-rebuild.ts')).runRebuild,
  release: async () => (await import('./cli/command-notes.ts')).runRelease,
  repair: async () => (await import('./cli/command-repair.ts')).runRepair,
  restore: async () => (await import('./cli/command-restore.ts')).runRestore,
  stanza: async () => (await import('./cli/command-stanza.ts')).runStanza,
  sync: async () => (await import('./cli/command-copy.ts')).runSync,
  tag: async () => (await import('./cli/command-notes.ts')).runTag,
  usage: async () => (await import('./cli/command-usage.ts')).runUsage,
  verify: async () => (await import('./cli/command-verify.ts')).runVerify,
  why: async () => (await import('./cli/command-why.ts')).runWhy,
};

function abortOnSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of SIGNALS) {
    const onSignal = () => {
      if (controller.signal.aborted) {
        // Without a listener the signal does what it does to any program: it ends it.
        endGroups();
        removeStagings();
        process.removeAllListeners(name);
        process.kill(process.pid, name);
        return;
      }
      outputs.err.line('lbs: stopping tidily; once more to stop at once');
      const hint = 'nothing is left half-done; the same command goes on from here';
      controller.abort(new LbsError('interrupted', `interrupted by ${name}`, { hint }));
    };
    process.on(name, onSignal);
  }
  return controller.signal;
}

async function showHelp(out: Output, command: CommandSpec | undefined): Promise<number> {
  const { commandHelp, programHelp } = await import('./cli/help-text.ts');
  out.raw(command === undefined ? programHelp() : commandHelp(command));
  return EXIT.done;
}

async function showVersion(out: Output): Promise<number> {
  const { VERSION } = await import('./std/version.ts');
  out.line(`lbs ${VERSION} (Node ${process.versions.node})`);
  return EXIT.done;
}

/** `lbs help [COMMAND]`. */
function helpTopic(name: string | undefined): CommandSpec | undefined {
  if (name === undefined) return undefined;
  const command = commandNamed(name);
  if (command) return command;
  throw new LbsError('usage', `there is no command "${showText(name)}"`, {
    hint: '"lbs help" lists the commands',
  });
}

/** Does what the arguments ask for; the exit code. @throws what the command throws */
async function run(
  args: readonly Buffer[],
  outputs: Outputs,
  signal: AbortSignal,
): Promise<number> {
  const first = args[0]?.toString();
  if (first === '--version' || first === '-V') return await showVersion(outputs.out);
  if (first === undefined) {
    await showHelp(outputs.err, undefined);
    return EXIT.usage;
  }
  if (first === '--help' || first === '-h') return await showHelp(outputs.out, undefined);
  if (first === 'help') return await showHelp(outputs.out, helpTopic(args[1]?.toString()));
  const named = commandNamed(first);
  const command = named ?? BACKUP;
  // Asked before parsing, because what parsing has to say is to be JSON as well.
  isJson = args.some((arg) => arg.toString() === '--json');
  const { parseFlags } = await import('./cli/parse-flags.ts');
  const parsed = parseFlags(command, named ? args.slice(1) : args);
  isJson = parsed.given.has('json');
  if (parsed.given.has('help')) return await showHelp(outputs.out, command);
  const { readConfig } = await import('./cli/config-file.ts');
  const { FlagValues } = await import('./cli/flag-values.ts');
  const warn = (text: string) => outputs.err.line(`lbs: warning: ${text}`);
  const config = readConfig(parsed.given.get('config')?.at(-1)?.toString(), process.env, warn);
  const flags = new FlagValues(parsed, config, process.env);
  const start = await LOAD[command.name]();
  if (hasSecrets || SECRET_KEY_OPTIONS.some((name) => flags.isSet(name))) {
    (await import('./posix/closed-memory.ts')).closeMemory();
  }
  if (!isProfiled()) leave = (await import('./posix/exit.ts')).exitAtOnce;
  return await start({ flags, outputs, signal });
}

/** Trouble with what is kept aside, as files or in databases of SQLite, is no mistake of ours. */
function withTemporaryTrouble(thrown: unknown): unknown {
  const isFull = errnoName(thrown) === 'SQLITE_FULL';
  if (!isFull && !(thrown instanceof SpoolTrouble)) return thrown;
  const message = isFull ? `no room for temporary files: ${messageOf(thrown)}` : messageOf(thrown);
  const hint = 'make room there, or name another directory in TMPDIR; else it is /var/tmp';
  return new LbsError('no-space', message, { cause: thrown, hint });
}

/** Says what went wrong; the exit code it means. */
function explain(raw: unknown, outputs: Outputs, signal: AbortSignal): number {
  const thrown = withTemporaryTrouble(raw);
  // Once a signal came, whatever failed then failed because of it; so did a command that it hit.
  const isOwnFailure = thrown instanceof LbsError && !OF_COMMANDS.has(thrown.code);
  const reason: unknown = signal.reason;
  const error = signal.aborted && !isOwnFailure && reason instanceof LbsError ? reason : thrown;
  const code = exitCodeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  const hint = error instanceof LbsError ? error.hint : undefined;
  if (isJson) {
    outputs.out.line(JSON.stringify({ message_type: 'exit_error', code, message, hint }));
  }
  if (error instanceof LbsError) {
    outputs.err.line(`lbs: ${message}`);
    for (const line of hint?.split('\n') ?? []) outputs.err.line(`     ${line}`);
    return code;
  }
  const stack = (error instanceof Error && error.stack) || message;
  outputs.err.line('lbs: unexpected error');
  for (const line of stack.split('\n')) outputs.err.line(`     ${showText(line)}`);
  outputs.err.line('     this is a mistake in lbs: please report it with the lines above');
  return code;
}

/** Ends the process when everything was written. */
async function finish(code: number, { out, err }: Outputs): Promise<never> {
  await out.flush();
  if (out.failure) err.line(`lbs: cannot write to standard output: ${out.failure.message}`);
  await err.flush();
  // Not left to the event loop: a stray handle must not keep a finished program alive.
  return leave(out.failure && code === EXIT.done ? EXIT.failed : code);
}

// Some programs answer it by telling how far they are: it must not end a backup.
process.on('SIGUSR1', () => undefined);
const outputs: Outputs = { out: new Output(process.stdout), err: new Output(process.stderr) };
const signal = abortOnSignal();
process.on('uncaughtException', (error) => {
  void finish(explain(error, outputs, signal), outputs);
});
try {
  await finish(await run(argumentBytes(), outputs, signal), outputs);
} catch (error) {
  await finish(explain(error, outputs, signal), outputs);
}
