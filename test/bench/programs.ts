/**
 * The programs that are measured, each as the shell commands that a user would type. The commands
 * get their words as variables: STORE (of the program), SOURCE (relative to the working
 * directory), TARGET (an empty directory), NAME (of this snapshot, where names are needed) and
 * INSIDE (a path in the snapshot). What each does is synced by itself or here.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { PROJECT } from './settings.ts';

export type Program = {
  readonly name: string;
  /** What a user would pick instead of lbs; measured in fewer rounds. */
  readonly isPeer: boolean;
  readonly init: string;
  readonly backup: string;
  readonly restore: string;
  /** Restores the one file INSIDE. */
  readonly restoreOne?: string;
};

export const LBS: Program = {
  name: 'lbs',
  isPeer: false,
  init: 'mkdir "$STORE"',
  backup: '"$LBS" --dest="$STORE" --localdb="$STORE.local" "$SOURCE"',
  restore: '"$LBS" restore --store="$STORE" latest "$TARGET"',
  restoreOne: '"$LBS" restore --json --store="$STORE" latest "$TARGET" "$INSIDE"',
};

/** The reference: as fast as the machine allows, keeping nothing but bytes. */
export const TAR: Program = {
  name: 'tar | zstd -3 -T0',
  isPeer: false,
  init: 'mkdir "$STORE"',
  // Synced like ours, but nothing that somebody else has written.
  backup: 'tar cf - "$SOURCE" | zstd -q -3 -T0 > "$STORE/all"; sync "$STORE/all"',
  restore: 'zstd -dc "$STORE/all" | tar xf - -C "$TARGET"',
};

export const RESTIC: Program = {
  name: 'restic',
  isPeer: true,
  init: 'restic -q -r "$STORE" init',
  backup: 'restic -r "$STORE" backup "$SOURCE"',
  restore: 'restic -r "$STORE" restore latest --target "$TARGET"',
  restoreOne: 'restic -r "$STORE" restore latest --target "$TARGET" --include "/$INSIDE"',
};

export const BORG: Program = {
  name: 'borg -C zstd,3',
  isPeer: true,
  init: 'borg init --encryption none "$STORE"',
  backup: 'borg create -C zstd,3 "$STORE::$NAME" "$SOURCE"',
  restore: 'cd "$TARGET" && borg extract "$STORE::$NAME"',
  restoreOne: 'cd "$TARGET" && borg extract "$STORE::$NAME" "$INSIDE"',
};

export const BUP: Program = {
  name: 'bup',
  isPeer: true,
  init: 'bup -d "$STORE" init',
  backup: 'bup -d "$STORE" index "$SOURCE" && bup -d "$STORE" save -q -n main "$SOURCE"',
  restore: 'bup -d "$STORE" restore -q -C "$TARGET" "/main/latest$PWD/."',
};

/** The reference of a scan: all that a backup compares, of every entry. */
export const FIND_ALL = `find "$SOURCE" -printf '%p %y %m %n %U %G %s %D %i %T@ %C@ %l\\n' > /dev/null`;

/** Environment of every command; caches and configuration stay in `dir`. */
export function programEnvironment(dir: string): Record<string, string> {
  return {
    LBS: join(PROJECT, 'bin', 'lbs'),
    HOME: join(dir, 'home'),
    LC_ALL: 'C.UTF-8',
    RESTIC_PASSWORD: 'bench',
    RESTIC_CACHE_DIR: join(dir, 'home', 'restic-cache'),
    BORG_BASE_DIR: join(dir, 'home', 'borg'),
    BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes',
    BORG_RELOCATED_REPO_ACCESS_IS_OK: 'yes',
  };
}

/** Commands and the Debian packages that have them; the first ones must be there. */
const NEEDED = { tar: 'tar', zstd: 'zstd', '/usr/bin/time': 'time', bzip2: 'bzip2' };
const PEERS = { restic: 'restic', borg: 'borgbackup', bup: 'bup' };

function isThere(command: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${command}`], { stdio: 'ignore' }).status === 0;
}

function install(packages: readonly string[]): void {
  if (process.getuid?.() !== 0 || !isThere('apt-get')) return;
  console.error(`Installing for the benchmark: ${packages.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (...args: string[]) =>
    spawnSync('apt-get', ['-qq', ...args], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  apt('update');
  // One by one: one that cannot be had must not cost the others.
  for (const name of packages) apt('install', '-y', '--no-install-recommends', name);
}

/**
 * Names of programs of this file that are missing, after trying to install them.
 * @throws {Error} when something is missing without which nothing can be measured.
 */
export function missingPeers(): ReadonlySet<string> {
  const all = Object.entries({ ...NEEDED, ...PEERS });
  const lacking = all.filter(([command]) => !isThere(command));
  if (lacking.length > 0) install(lacking.map(([, name]) => name));
  const missing = Object.entries(NEEDED).filter(([command]) => !isThere(command));
  if (missing.length > 0) {
    throw new Error(`needed and not installed: ${missing.map(([, name]) => name).join(' ')}`);
  }
  const names: Record<string, string> = { restic: RESTIC.name, borg: BORG.name, bup: BUP.name };
  const absent = Object.keys(PEERS).filter((command) => !isThere(command));
  return new Set(absent.map((command) => names[command] ?? command));
}

/** What the programs say of themselves, for the JSON. */
export function versions(): Record<string, string> {
  const commands: Record<string, string> = {
    kernel: 'uname -sr',
    tar: 'tar --version | head -n 1',
    zstd: 'zstd --version',
    restic: 'restic version',
    borg: 'borg --version',
    bup: 'bup --version',
    commit: `git -C '${PROJECT}' rev-parse --short HEAD`,
  };
  const said = Object.entries(commands).map(([name, command]) => {
    const { stdout } = spawnSync('sh', ['-c', `${command} 2>/dev/null`], { encoding: 'utf8' });
    return [name, stdout.trim()];
  });
  return { node: process.version, ...Object.fromEntries(said) };
}
