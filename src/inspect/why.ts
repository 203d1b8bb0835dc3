/**
 * Is a path in a backup, and what decided it: the scan of the backup itself, led down to that path.
 *
 * Called by `lbs why`. It has no rules of its own: what the scan yields is in, and what it was told
 * on the way (`sources/filesystem/trail`) is the reason. So it cannot disagree with a backup of the
 * same moment.
 */
import type { Report } from '../report.ts';
import {
  type NamedPaths,
  realPathOf,
  recordedPath,
  resolveNamedPaths,
  widestRoot,
} from '../sources/filesystem/named-paths.ts';
import { withoutOwnFiles } from '../sources/filesystem/own-files.ts';
import { type RuleOptions, readRules } from '../sources/filesystem/rule-files.ts';
import { FilesystemSource } from '../sources/filesystem/scan.ts';
import { type Decision, Selector, type Verdict } from '../sources/filesystem/select.ts';
import type { Barrier, Trail } from '../sources/filesystem/trail.ts';
import { type SourceEntry, SourceTrouble } from '../sources/source.ts';
import { type BytePath, bytePath } from '../std/byte-path.ts';
import { type ByteText, asByteText, byteText, toBytePath } from '../std/byte-text.ts';

export type WhyOptions = {
  readonly path: BytePath;
  /** The paths of the backup; none: it is supposed that `path` lies below one of them. */
  readonly roots: readonly BytePath[];
  readonly excludes: readonly BytePath[];
  readonly includes: readonly BytePath[];
  readonly ruleFiles: RuleOptions;
  readonly excludeIfPresent: readonly Buffer[];
  readonly excludeCaches: boolean;
  readonly oneFileSystem: boolean;
  /** Directories of the backup itself: the store, the local database. */
  readonly ownPlaces: readonly string[];
  readonly report: Report;
};

export type Reason =
  /** The path, or one above it, is one of the backup's; or it is supposed to be. */
  | { readonly kind: 'named' }
  /** Only a directory on the way to something else: it has none of its other contents. */
  | { readonly kind: 'on-the-way' }
  | { readonly kind: 'outside' }
  | Exclude<Decision, { kind: 'named' }>
  | Barrier;

export type Answer = {
  /** As recorded; absolute when it lies outside of everything. */
  readonly path: BytePath;
  readonly included: boolean;
  readonly reason: Reason;
  /** What was decided about: the path itself, or a directory above it. */
  readonly at: BytePath;
  /** No paths of a backup were given. */
  readonly isSupposed: boolean;
};

/** What the scan told on its way down. */
class TrailLog implements Trail {
  readonly names: readonly ByteText[];
  readonly #path: ByteText;
  readonly #judged: { readonly path: ByteText; readonly verdict: Verdict }[] = [];
  #barrier: { readonly path: ByteText; readonly barrier: Barrier } | undefined;

  constructor(path: ByteText) {
    this.#path = path;
    this.names = path === '.' ? [] : path.split('/').map(asByteText);
  }

  judged(path: ByteText, verdict: Verdict): void {
    if (this.#isOnIt(path)) this.#judged.push({ path, verdict });
  }

  stopped(path: ByteText, barrier: Barrier): void {
    if (this.#isOnIt(path)) this.#barrier = { path, barrier };
  }

  #isOnIt(path: ByteText): boolean {
    return path === '.' || path === this.#path || this.#path.startsWith(`${path}/`);
  }

  /** Why the path is in. */
  inside(): { reason: Reason; at: ByteText } {
    const last = this.#judged.at(-1);
    if (last?.verdict.selected !== true) return { reason: { kind: 'on-the-way' }, at: this.#path };
    for (const { path, verdict } of this.#judged.toReversed()) {
      const { decision } = verdict;
      // What a rule keeps is kept by itself: what is below it is there because of what is above.
      if (decision === undefined || (decision.kind === 'rule' && path !== this.#path)) continue;
      return { reason: decision, at: path };
    }
    return { reason: { kind: 'named' }, at: this.#path };
  }

  /** Why the path is not in. */
  outside(): { reason: Reason; at: ByteText } {
    const last = this.#judged.at(-1);
    const isJudged = last?.path === this.#path && !last.verdict.selected;
    if (this.#barrier !== undefined && !isJudged) {
      return { reason: this.#barrier.barrier, at: this.#barrier.path };
    }
    for (const { path, verdict } of this.#judged.toReversed()) {
      const { decision } = verdict;
      if (decision !== undefined) return { reason: decision, at: path };
    }
    return { reason: { kind: 'outside' }, at: this.#path };
  }
}

function namedFor(options: WhyOptions, real: BytePath): NamedPaths {
  if (options.roots.length > 0) return resolveNamedPaths(options.roots);
  const named = resolveNamedPaths([widestRoot(options.path)]);
  // Through a link it may lie anywhere.
  return recordedPath(real, named.top) === undefined ? resolveNamedPaths([bytePath('/')]) : named;
}

/** What would stop the backup of an entry that the scan yields. */
function readTrouble(entry: SourceEntry): string | undefined {
  try {
    if (entry.status.type === 'f') entry.openContent().close();
    if (entry.status.type === 'l') entry.linkTarget();
    return undefined;
  } catch (error) {
    if (!(error instanceof SourceTrouble)) throw error;
    return error.message;
  }
}

/**
 * Answers for one path; trouble on the way is a warning to `report`.
 * @throws {LbsError} source-missing when it, or a path of the backup, is not there; usage for a rule
 */
export function why(options: WhyOptions): Answer {
  const { excludes, includes, ruleFiles, report } = options;
  const real = realPathOf(options.path);
  const named = namedFor(options, real);
  const isSupposed = options.roots.length === 0;
  const selector = new Selector({ named, excludes, includes, rules: readRules(ruleFiles) });
  const place = recordedPath(real, named.top);
  if (place === undefined) {
    return { path: real, included: false, reason: { kind: 'outside' }, at: real, isSupposed };
  }
  const log = new TrailLog(place);
  const answer = (included: boolean, { reason, at }: { reason: Reason; at: ByteText }): Answer => {
    return { path: toBytePath(place), included, reason, at: toBytePath(at), isSupposed };
  };
  const source = new FilesystemSource({
    top: named.top,
    selector,
    oneFileSystem: options.oneFileSystem,
    excludeIfPresent: options.excludeIfPresent.map((name) => byteText(name)),
    excludeCaches: options.excludeCaches,
    withoutOwnFiles: withoutOwnFiles(options.ownPlaces),
    trail: log,
    warn: (warning) => report({ type: 'warning', warning }),
    // Of kernel filesystems: the answer says it.
    note: () => undefined,
  });
  for (const entry of source.entries()) {
    if (entry.text !== place) continue;
    const message = readTrouble(entry);
    if (message === undefined) return answer(true, log.inside());
    return answer(false, { reason: { kind: 'unreadable', message }, at: place });
  }
  return answer(false, log.outside());
}
