/**
 * Runs commands one after the other in one process, for tests that need thousands of them: each line
 * of standard input is the words of one, as JSON. What it says comes as usual, and then, on both
 * outputs, a line `MARK CODE`. It is main.ts without signals and without an end.
 */
import { createInterface } from 'node:readline';
import type { Command } from '../../src/cli/command.ts';
import { type CommandName, commandNamed } from '../../src/cli/options.ts';
import { Output } from '../../src/cli/output.ts';
import { exitCodeOf, LbsError } from '../../src/errors.ts';
import { showText } from '../../src/std/byte-path.ts';

/** Ends what a command says. */
export const MARK = '\u0001end of a command';

const LOAD: Partial<Record<CommandName, () => Promise<Command>>> = {
  cat: async () => (await import('../../src/cli/command-cat.ts')).runCat,
  diff: async () => (await import('../../src/cli/command-diff.ts')).runDiff,
  dump: async () => (await import('../../src/cli/command-dump.ts')).runDump,
  find: async () => (await import('../../src/cli/command-find.ts')).runFind,
  forget: async () => (await import('../../src/cli/command-forget.ts')).runForget,
  gc: async () => (await import('../../src/cli/command-gc.ts')).runGc,
  heal: async () => (await import('../../src/cli/command-copy.ts')).runHeal,
  history: async () => (await import('../../src/cli/command-history.ts')).runHistory,
  list: async () => (await import('../../src/cli/command-list.ts')).runList,
  ls: async () => (await import('../../src/cli/command-ls.ts')).runLs,
  rebuild: async () => (await import('../../src/cli/command-rebuild.ts')).runRebuild,
  repair: async () => (await import('../../src/cli/command-repair.ts')).runRepair,
  restore: async () => (await import('../../src/cli/command-restore.ts')).runRestore,
  stanza: async () => (await import('../../src/cli/command-stanza.ts')).runStanza,
  sync: async () => (await import('../../src/cli/command-copy.ts')).runSync,
  tag: async () => (await import('../../src/cli/command-notes.ts')).runTag,
  usage: async () => (await import('../../src/cli/command-usage.ts')).runUsage,
  verify: async () => (await import('../../src/cli/command-verify.ts')).runVerify,
};

// Each command makes outputs of its own, which listen to errors for as long as the process lives.
for (const stream of [process.stdout, process.stderr]) stream.setMaxListeners(0);
const outputs = { out: new Output(process.stdout), err: new Output(process.stderr) };

async function run(words: readonly string[]): Promise<number> {
  const { parseFlags } = await import('../../src/cli/parse-flags.ts');
  const { FlagValues } = await import('../../src/cli/flag-values.ts');
  const { readConfig } = await import('../../src/cli/config-file.ts');
  const command = commandNamed(words[0] ?? '');
  const load = command === undefined ? undefined : LOAD[command.name];
  if (command === undefined || load === undefined) throw new TypeError(`no ${words[0]} here`);
  const parsed = parseFlags(command, words.slice(1).map((word) => Buffer.from(word))); // prettier-ignore
  const flags = new FlagValues(parsed, readConfig(undefined, process.env), process.env);
  return await (
    await load()
  )({ flags, outputs, signal: new AbortController().signal });
}

function explain(error: unknown): number {
  const isOurs = error instanceof LbsError;
  const stack = error instanceof Error ? String(error.stack) : String(error);
  const lines = isOurs ? [error.message, error.hint ?? ''] : ['unexpected error', ...stack.split('\n')]; // prettier-ignore
  for (const line of lines) outputs.err.line(`lbs: ${isOurs ? line : showText(line)}`);
  return exitCodeOf(error);
}

if (process.argv[1] === import.meta.filename) {
  process.on('uncaughtException', (error) => {
    explain(error);
    process.exitCode = 1;
    process.stdin.destroy();
  });
  for await (const line of createInterface({ input: process.stdin })) {
    const words: string[] = JSON.parse(line);
    const code = await run(words).catch(explain);
    for (const output of Object.values(outputs)) {
      output.raw(`${MARK} ${code}\n`);
      await output.flush();
    }
  }
}
