/**
 * Stores that the original programs wrote, from LBS 0.5.1 to Cumulus 0.11, and what their snapshots
 * must give back: test/fixtures/stores. LBS_FIXTURES may name a directory with more of the kind.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { gpg, startAgent } from './gpg-home.ts';
import { removeTree } from './temp-dir.ts';

export const STORES = join(import.meta.dirname, '..', 'fixtures', 'stores');

/** An entry as the source tree had it; paths and targets in the escaping of the format. */
export type ExpectedEntry = {
  readonly path: string;
  readonly type: string;
  /** Octal. */
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
  /** Whole seconds, rounded down. */
  readonly mtime: number;
  readonly size?: number;
  readonly sha256?: string;
  readonly target?: string;
  readonly device?: readonly [major: number, minor: number];
  /** The first name of its hard-link group. */
  readonly group?: string;
};

export type FixtureStore = {
  readonly name: string;
  /** Holds the store and what is known of it. */
  readonly dir: string;
  readonly store: string;
  readonly extension: string;
  /** Oldest first. */
  readonly snapshots: readonly string[];
};

function fixtureIn(dir: string): FixtureStore[] {
  const file = join(dir, 'fixture.json');
  if (!existsSync(file)) return [];
  const { filter_extension: extension, snapshots } = JSON.parse(readFileSync(file, 'utf8'));
  const names = snapshots.map(({ name }: { name: string }) => name);
  return [{ name: basename(dir), dir, store: join(dir, 'store'), extension, snapshots: names }];
}

export const FIXTURES: readonly FixtureStore[] = [STORES, process.env['LBS_FIXTURES']]
  .flatMap((dir) => (dir === undefined ? [] : readdirSync(dir).map((name) => join(dir, name))))
  .flatMap((dir) => fixtureIn(dir));

/**
 * Every second one, from `first` on, to save time; LBS_TEST_ALL=1 takes all (`make test-old-stores`).
 * Tests of one command begin with different ones, so that each store is in some of them.
 */
export function someFixtures(first: 0 | 1): readonly FixtureStore[] {
  if (process.env['LBS_TEST_ALL'] === '1') return FIXTURES;
  return FIXTURES.filter((_, at) => at % 2 === first);
}

/** The entries of a snapshot. */
export function expectedEntries(fixture: FixtureStore, snapshot: string): ExpectedEntry[] {
  const text = readFileSync(join(fixture.dir, `${snapshot}.expected.json`), 'utf8');
  const entries: ExpectedEntry[] = JSON.parse(text).entries;
  return entries;
}

/** The scheme of a snapshot; empty where it has none. */
export function schemeOf(snapshot: string): string {
  return snapshot.slice(0, Math.max(snapshot.lastIndexOf('-'), 0));
}

/** A GnuPG home with the secret keys of the fixtures; `remove` it after the tests. */
export function fixtureKeys(): {
  readonly env: { readonly GNUPGHOME: string };
  readonly remove: () => void;
} {
  const dir = mkdtempSync(join(tmpdir(), 'lbs-test-g'));
  const env = { GNUPGHOME: dir };
  startAgent({ env });
  for (const fixture of FIXTURES) {
    const key = join(fixture.dir, 'keys', 'secret.asc');
    if (!existsSync(key)) continue;
    const { code, stderr } = gpg({ env }, ['--import', key]);
    if (code !== 0) throw new Error(`gpg --import ${key}: ${stderr}`);
  }
  return {
    env,
    remove: () => {
      spawnSync('gpgconf', ['--kill', 'all'], { env: { PATH: process.env['PATH'], ...env } });
      removeTree(dir);
    },
  };
}
