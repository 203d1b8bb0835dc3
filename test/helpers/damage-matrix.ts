/**
 * Judges what lbs says and does of a damaged store: a small store that has everything (several
 * segments, files of many blocks, hard links, holes, two snapshots that share blocks), damaged in
 * one way after the other, and for each way what verify named held against what a restore of both
 * snapshots brought back. See damage-ways.ts; used by test/cli/damage-matrix.ts and test/slow/damage.ts.
 */
import {
  closeSync,
  existsSync,
  ftruncateSync,
  linkSync,
  openSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { exitCodeOf, LbsError, messageOf } from '../../src/errors.ts';
import { DecryptKey, restore, verify } from '../../src/library.ts';
import { type Harm, kindOf, linkedCopy } from './damage-ways.ts';
import { backupOptions, places } from './places.ts';
import { pseudoRandom } from './pseudo-random.ts';
import { jsonLines, lbs, lbsOk } from './run-lbs.ts';
import { makeFiles } from './small-tree.ts';
import { snapshotNames } from './store-state.ts';
import { removeTree } from './temp-dir.ts';
import { readTree, type TreeState, treeDifferences } from './tree-state.ts';

const KIB = 1024;

export type MatrixStore = {
  readonly base: string;
  readonly store: string;
  /** Files that the matrix damages. */
  readonly files: readonly string[];
  readonly snapshots: readonly string[];
  /** What each snapshot is to give back. */
  readonly trees: ReadonlyMap<string, TreeState>;
  readonly verifyKey: string | undefined;
  /** File with the secret key of an encrypted store. */
  readonly decryptKey: string | undefined;
};

/** A copy of `a` plus changes is what the second snapshot has. */
function makeTree(tree: string): void {
  const database = Buffer.concat([Buffer.from('SQLite format 3\0'), pseudoRandom('db', 300 * KIB)]);
  makeFiles(tree, {
    'a/database': database,
    'a/long': pseudoRandom('long', 1500 * KIB),
    'a/small': 'small',
    'b/first': pseudoRandom('first', 70 * KIB),
    'b/same': pseudoRandom('first', 70 * KIB),
    'b/empty': '',
    'c/text': 'all work and no play\n'.repeat(4000),
    'z/nothing/': '',
  });
  for (let at = 0; at < 40; at++) makeFiles(tree, { [`many/${at}`]: pseudoRandom(`m${at}`, 900) });
  linkSync(join(tree, 'b/first'), join(tree, 'linked'));
  symlinkSync('a/long', join(tree, 'link'));
  const fd = openSync(join(tree, 'a/holes'), 'w');
  ftruncateSync(fd, 2048 * KIB);
  writeSync(fd, pseudoRandom('hole', 9000), 0, 9000, 1024 * KIB);
  closeSync(fd);
}

function changeTree(tree: string): void {
  const database = openSync(join(tree, 'a/database'), 'r+');
  writeSync(database, pseudoRandom('page', 4 * KIB), 0, 4 * KIB, 100 * KIB);
  closeSync(database);
  makeFiles(tree, { 'c/new': pseudoRandom('new', 200 * KIB), 'a/small': 'changed' });
  rmSync(join(tree, 'many/7'));
}

export type MatrixSettings = {
  readonly env?: Record<string, string>;
  readonly verifyKey?: string;
  readonly decryptKey?: string;
};

/** Makes it; `options` are those of the backups. */
export async function matrixStore(
  t: ExecutionContext,
  options: readonly string[],
  settings: MatrixSettings = {},
): Promise<MatrixStore> {
  const at = places(t);
  const { env = {}, verifyKey, decryptKey } = settings;
  const trees = new Map<string, TreeState>();
  makeTree(at.tree);
  for (const change of [undefined, changeTree]) {
    change?.(at.tree);
    const args = [...backupOptions(at), '--segment-size=256k', ...options, '.'];
    await lbsOk(t, args, { cwd: at.tree, env });
    trees.set(snapshotNames(at.store).at(-1) ?? '', readTree(at.tree));
  }
  const files = readdirSync(at.store)
    .filter((name) => kindOf(name) !== undefined)
    .sort();
  return {
    base: at.base,
    store: at.store,
    files,
    snapshots: snapshotNames(at.store),
    trees,
    verifyKey,
    decryptKey,
  };
}

type Finding = {
  readonly what: string;
  readonly name: string;
  readonly snapshot: string | undefined;
};
type Verdict = {
  readonly code: number;
  readonly findings: readonly Finding[];
  readonly notes: string;
};

type RestoreOrder = {
  readonly at: MatrixStore;
  readonly store: string;
  readonly snapshot: string;
  readonly target: string;
};

/** How lbs is run: in this process, or as the program. */
export type Runner = {
  verify(at: MatrixStore, store: string): Promise<Verdict>;
  /** The exit code. */
  restore(order: RestoreOrder): Promise<number>;
};

function readingOf({ verifyKey, decryptKey }: MatrixStore) {
  return {
    ...(verifyKey === undefined ? {} : { verifyKey }),
    ...(decryptKey === undefined ? {} : { decryptKey: new DecryptKey(decryptKey) }),
  };
}

/** Everything but the process; a mistake of lbs is thrown. */
export const inProcess: Runner = {
  async verify(at, store) {
    const findings: Finding[] = [];
    const notes: string[] = [];
    try {
      await verify({
        store,
        depth: 'data',
        ...readingOf(at),
        report: (event) => {
          if (event.type === 'note') notes.push(event.message);
          if (event.type !== 'damage') return;
          const { what, name, path, snapshot } = event.damage;
          findings.push({ what, name: path?.toString('latin1') ?? name, snapshot });
        },
      });
      return { code: findings.length > 0 ? 4 : 0, findings, notes: notes.join('\n') };
    } catch (error) {
      if (!(error instanceof LbsError)) throw error;
      return { code: exitCodeOf(error), findings, notes: messageOf(error) };
    }
  },
  async restore({ at, store, snapshot, target }) {
    try {
      const { damaged, warnings } = await restore({ store, snapshot, target, ...readingOf(at) });
      return damaged > 0 ? 4 : warnings > 0 ? 3 : 0;
    } catch (error) {
      if (!(error instanceof LbsError)) throw error;
      return exitCodeOf(error);
    }
  },
};

/** The program, as people run it. */
export function asProgram(t: ExecutionContext): Runner {
  const reading = ({ verifyKey, decryptKey }: MatrixStore, store: string) => [
    `--store=${store}`,
    ...(verifyKey === undefined ? [] : [`--verify-key=${verifyKey}`]),
    ...(decryptKey === undefined ? [] : [`--decrypt-key=${decryptKey}`]),
  ];
  return {
    async verify(at, store) {
      const run = await lbs(t, ['verify', '--data', '--json', ...reading(at, store)]);
      const lines = jsonLines(run);
      const findings = lines
        .filter((line) => line['message_type'] === 'error')
        .map((line) => ({
          what: String(line['damaged']),
          name: String(line['item']),
          snapshot: typeof line['snapshot_id'] === 'string' ? line['snapshot_id'] : undefined,
        }));
      const notes = lines
        .filter((line) => 'message' in line)
        .map((line) => String(line['message']));
      return { code: run.code ?? -1, findings, notes: notes.join('\n') };
    },
    async restore({ at, store, snapshot, target }) {
      const run = await lbs(t, ['restore', '-q', ...reading(at, store), snapshot, target]);
      return run.code ?? -1;
    },
  };
}

/** One damage to one file. */
export type Point = { readonly file: string; readonly harm: Harm };

/** What is wrong with what lbs made of a damage; empty when all is as it is to be. */
export async function judge(at: MatrixStore, point: Point, runner: Runner): Promise<string[]> {
  const store = join(at.base, 'damaged');
  const target = join(at.base, 'restored');
  linkedCopy(at.store, store);
  point.harm.apply(store);
  const verdict = await runner.verify(at, store);
  const wrong = judgeVerdict(at, point, verdict);
  for (const snapshot of at.snapshots) {
    removeTree(target);
    const code = await runner.restore({ at, store, snapshot, target });
    const tree = existsSync(target) ? readTree(target) : undefined;
    const judged = { at, ...point, verdict, snapshot, code, tree };
    for (const one of judgeRestore(judged)) {
      wrong.push(`restore of ${snapshot} (exit ${code}): ${one}`);
    }
  }
  return wrong;
}

/** The snapshot that a file is of. */
const snapshotOf = (name: string) => /^snapshot-([^.]*)\./.exec(name)?.[1];

function judgeVerdict(at: MatrixStore, { file, harm }: Point, verdict: Verdict): string[] {
  const { code, findings, notes } = verdict;
  const storeFiles = findings.filter(({ what }) => what === 'store-file');
  const named = new Set(storeFiles.map(({ name }) => name));
  const isDescriptor = kindOf(file) === 'descriptor';
  if (harm.outcome === 'more') {
    return code === 0 ? [] : [`verify exits with ${code} for ${[...named].join(' ')}: ${notes}`];
  }
  if (harm.outcome === 'deleted' && isDescriptor) {
    return notes.includes(file) ? [] : ['verify does not tell that the descriptor is gone'];
  }
  // With a key a bad signature is an error that names the file.
  if (at.verifyKey !== undefined && code === 12 && isDescriptor) {
    return harm.files.some((name) => notes.includes(name)) ? [] : [`it is not named: ${notes}`];
  }
  // A whole descriptor under another name is no accident.
  const isTampered = isDescriptor && findings.some(({ what }) => what === 'history');
  const wrong = code === 4 || (isTampered && code === 12) ? [] : [`verify exits with ${code}`];
  for (const name of harm.files) {
    // A whole descriptor under another name is told by the lists that it does not have.
    const isListNamed = [...named].some((other) => snapshotOf(other) === snapshotOf(name));
    if (named.has(name) || (isDescriptor && isListNamed)) continue;
    wrong.push(`verify does not name ${name}`);
  }
  if (isDescriptor) return wrong;
  for (const name of named) {
    if (!harm.files.includes(name)) wrong.push(`verify names ${name}, which is as it was`);
  }
  return wrong;
}

type Judged = Point & {
  readonly at: MatrixStore;
  readonly verdict: Verdict;
  readonly snapshot: string;
  readonly code: number;
  /** What the restore left. */
  readonly tree: TreeState | undefined;
};

function judgeRestore(judged: Judged): string[] {
  const { at, file, harm, verdict, snapshot, code, tree } = judged;
  const isDescriptor = kindOf(file) === 'descriptor' && harm.outcome !== 'more';
  if (isDescriptor) return judgeOfDescriptor(judged);
  if (code !== 0 && code !== 4) return ['it fails'];
  const damage = verdict.findings.filter((one) => one.snapshot === snapshot);
  const named = new Set(damage.filter(({ what }) => what === 'entry').map(({ name }) => name));
  const isMetadataLost = damage.some(({ what }) => what === 'metadata');
  if (tree === undefined) {
    return isMetadataLost ? [] : ['there is nothing, and verify does not say why'];
  }
  const wanted: TreeState = at.trees.get(snapshot) ?? new Map();
  const missing = new Set<string>();
  const wrong: string[] = [];
  for (const { path, field, text } of treeDifferences(wanted, tree)) {
    if (field === 'missing') missing.add(path);
    // Directories of which only what is in them is known; a name of several that is lost.
    const isOfLost = wanted.get(path)?.type === 'd' || field === 'links' || field === 'sameAs';
    if (field !== 'missing' && !(isMetadataLost && isOfLost)) wrong.push(`wrong: ${text}`);
  }
  if (missing.size > 0 && code !== 4) wrong.push(`${[...missing].join(' ')} missing silently`);
  for (const path of named) {
    if (!missing.has(path)) wrong.push(`verify names ${path}, which comes back`);
  }
  if (isMetadataLost) return wrong;
  for (const path of missing) if (!named.has(path)) wrong.push(`verify does not name ${path}`);
  if (code === 4 && missing.size === 0) wrong.push('nothing is missing');
  return wrong;
}

/** Of a damaged descriptor: refused, or it gives back a snapshot of the store, whole. */
function judgeOfDescriptor({ at, code, tree }: Judged): string[] {
  if (code !== 0) return [1, 4, 10, 12].includes(code) ? [] : ['it fails'];
  if (tree === undefined) return ['it says that all is well, and there is nothing'];
  const trees = [...at.trees.values()];
  const isOne = trees.some((wanted) => treeDifferences(wanted, tree).length === 0);
  return isOne ? [] : ['it says that all is well, and it is not what was saved'];
}
