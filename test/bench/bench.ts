/**
 * What every scenario needs: a place on disk, the programs that are there, and ways to run
 * commands so that a failure is told at once and never counted as fast. Made by main.ts.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, statfsSync } from 'node:fs';
import { freemem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Section } from './goals.ts';
import { type Program, programEnvironment } from './programs.ts';
import type { Results } from './results.ts';
import { CommandFailed, Runner, type Usage } from './run-measured.ts';
import type { Settings } from './settings.ts';

/** Files younger than five seconds are read again by lbs, by design; a nightly backup has none. */
const SETTLED_MS = 6000;
/** Of the free memory. */
const TMPFS_PART = 0.6;

export type Command = {
  readonly script: string;
  readonly cwd: string;
  readonly words?: Words;
  /** It writes nothing of any size, so what others have left to be written does not matter. */
  readonly onlyReads?: true;
};

export type Words = Readonly<Record<string, string>>;

export class Bench {
  readonly settings: Settings;
  readonly results: Results;
  /** Programs that could not be installed, by name. */
  readonly missing: ReadonlySet<string>;
  /** Own directory, removed at the end. */
  readonly dir: string;
  /** A mounted tmpfs, or why there is none. */
  readonly tmpfs: { readonly dir: string; readonly size: number } | { readonly lacking: string };
  readonly #runner: Runner;
  #changedMs = 0;
  #stores = 0;

  constructor(settings: Settings, results: Results, missing: ReadonlySet<string>) {
    this.settings = settings;
    this.results = results;
    this.missing = missing;
    mkdirSync(settings.parentDir, { recursive: true });
    this.dir = mkdtempSync(join(settings.parentDir, 'lbs-bench-'));
    for (const name of ['home', 'logs', 'stores', 'restored', 'tmpfs']) {
      mkdirSync(join(this.dir, name));
    }
    this.#runner = new Runner(join(this.dir, 'logs'), programEnvironment(this.dir));
    this.tmpfs = this.#mountTmpfs();
  }

  #mountTmpfs(): Bench['tmpfs'] {
    if (process.getuid?.() !== 0) return { lacking: 'left out: only root can mount a tmpfs' };
    // Nothing of it is taken before it is used; the rest is for the programs.
    const size = Math.floor(freemem() * TMPFS_PART);
    const dir = join(this.dir, 'tmpfs');
    const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'none', dir]);
    return status === 0 ? { dir, size } : { lacking: 'left out: mounting was refused' };
  }

  /** Numbers of rounds, the first always, as long as there is time for another. */
  *rounds(): Generator<number> {
    const { rounds, roundsUntilS } = this.settings.sizes;
    for (let round = 1; round <= rounds; round++) {
      if (round > 1 && performance.now() > roundsUntilS * 1000) return;
      yield round;
    }
  }

  /** Ends what runs, and removes everything. */
  close(): void {
    this.#runner.kill();
    if ('dir' in this.tmpfs) spawnSync('umount', ['-l', this.tmpfs.dir]);
    this.remove(this.dir);
  }

  freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.dir);
    return bavail * bsize;
  }

  remove(path: string): void {
    spawnSync('rm', ['-rf', '--one-file-system', path], { stdio: 'inherit' });
  }

  /** Says what happens while it does, with the seconds since the start. */
  say(text: string): void {
    console.error(`${(performance.now() / 1000).toFixed(0).padStart(5)} s  ${text}`);
  }

  /** To be called after the input of backups was made or changed. */
  inputChanged(): void {
    this.#changedMs = Date.now();
  }

  /** Waits until no file of the input is too young to be trusted by the next backup. */
  async settle(): Promise<void> {
    await sleep(Math.max(0, this.#changedMs + SETTLED_MS - Date.now()));
  }

  /**
   * Runs and measures a command for a row of the table. Undefined means that it failed: then the
   * row says so, and so does the exit status of the benchmark.
   */
  async sample(section: Section, name: string, command: Command): Promise<Usage | undefined> {
    const row = this.results.row(section, name);
    // What others have left to be written must not be paid for by this command.
    if (command.onlyReads !== true) spawnSync('sync', ['-f', this.dir]);
    const usage = await this.#attempt(`${section}: ${name}`, command);
    if (usage === undefined) {
      row.failed = true;
      return undefined;
    }
    row.samples.push(usage);
    const { wallS, cpuS, peakMB } = usage;
    const numbers = `${wallS.toFixed(2)} s, cpu ${cpuS.toFixed(2)} s, ${peakMB.toFixed(0)} MB`;
    this.say(`${section}: ${name}: ${numbers}`);
    return usage;
  }

  /** Runs a command that is not measured; false when it failed, which is told and counted. */
  async prepare(script: string, cwd: string, words: Words = {}): Promise<boolean> {
    return (await this.#attempt('preparation', { script, cwd, words })) !== undefined;
  }

  async #attempt(what: string, { script, cwd, words }: Command): Promise<Usage | undefined> {
    try {
      return await this.#runner.run(script, cwd, words);
    } catch (error) {
      if (!(error instanceof CommandFailed)) throw error;
      this.fail(`${what}: ${error.message}`);
      return undefined;
    }
  }

  /** Counts and tells that something did not work. */
  fail(what: string): void {
    this.results.failures.push(what);
    this.say(`\n*** FAILED *** ${what}\n`);
  }

  /** Standard output of the last command. */
  lastOutput(): string {
    return this.#runner.lastOutput();
  }

  /** Those that are there; a peer that is not gets a line in the section. */
  present(section: Section, programs: readonly Program[]): Program[] {
    for (const { name } of programs.filter((program) => this.missing.has(program.name))) {
      this.results.note(section, name, 'left out: not installed');
    }
    return programs.filter(({ name }) => !this.missing.has(name));
  }

  /** Makes a new empty store for a program; undefined when that failed. */
  async newStore(program: Program): Promise<string | undefined> {
    const store = join(this.dir, 'stores', String(++this.#stores));
    return (await this.prepare(program.init, this.dir, { STORE: store })) ? store : undefined;
  }

  removeStore(store: string): void {
    this.remove(store);
    this.remove(`${store}.local`);
  }
}
