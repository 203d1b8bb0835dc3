/**
 * Which entries of a snapshot a restore is asked for: the named paths, all that is below them,
 * and the directories above them.
 *
 * Called by plan-restore.ts once per entry, so the cost is the depth of the entry and not the
 * number of paths asked for. Names are compared as bytes (as Latin-1 text, which is one to one).
 */
import { type BytePath, bytePath, componentsOf, isTop } from '../std/byte-path.ts';

/** `selected`: asked for. `parent`: only a directory on the way to something asked for. */
export type Role = 'selected' | 'parent';

const SLASH = Buffer.from('/');

function joined(parts: readonly Buffer[]): string {
  return parts.map((part) => part.toString('latin1')).join('/');
}

/**
 * The form that names have in a snapshot: without a leading or trailing `/`, empty components
 * and `.`; the top is `.`. What `..` means is not guessed: it stays and matches nothing.
 */
export function normalisePath(path: Buffer): BytePath {
  const parts = componentsOf(path);
  if (parts.length === 0) return bytePath('.');
  return bytePath(Buffer.concat(parts.flatMap((part, at) => (at === 0 ? [part] : [SLASH, part]))));
}

/** More paths than this are not looked for one by one: then the whole log is read. */
const FIND_PATHS_MAX = 100;

/** What to look for in the metadata; undefined when (nearly) all of it is needed. */
export function pathsToFind(paths: readonly Buffer[]): readonly BytePath[] | undefined {
  const wanted = paths.map((path) => normalisePath(path));
  const isAll = wanted.length === 0 || wanted.some((path) => isTop(path));
  return isAll || wanted.length > FIND_PATHS_MAX ? undefined : wanted;
}

export class PathSelection {
  /** Every path asked for -> whether an entry was found at or below it. */
  readonly #wanted = new Map<string, boolean>();
  /** Every directory above a path asked for, without the top. */
  readonly #parents = new Set<string>();
  readonly #all: boolean;

  /** No paths, or the top among them, select everything. */
  constructor(paths: readonly Buffer[]) {
    let all = paths.length === 0;
    for (const path of paths) {
      const parts = componentsOf(path);
      if (parts.length === 0) all = true;
      this.#wanted.set(joined(parts), parts.length === 0);
      for (let depth = 1; depth < parts.length; depth++) {
        this.#parents.add(joined(parts.slice(0, depth)));
      }
    }
    this.#all = all;
  }

  /** True when nothing is left out. */
  get isEverything(): boolean {
    return this.#all;
  }

  /** The part that an entry plays; undefined when it is left alone. `path` is `''` for the top. */
  roleOf(path: Buffer): Role | undefined {
    if (this.#all && this.#wanted.size === 0) return 'selected';
    const text = path.toString('latin1');
    let selected = this.#all;
    for (let end = text.indexOf('/'); ; end = text.indexOf('/', end + 1)) {
      const prefix = end < 0 ? text : text.slice(0, end);
      if (this.#wanted.has(prefix)) {
        this.#wanted.set(prefix, true);
        selected = true;
      }
      if (end < 0) break;
    }
    if (selected) return 'selected';
    return text === '' || this.#parents.has(text) ? 'parent' : undefined;
  }

  /** Paths asked for at or below which `roleOf` has met nothing. */
  unmatched(): BytePath[] {
    const missing = [...this.#wanted].filter(([, found]) => !found);
    return missing.map(([text]) => bytePath(Buffer.from(text, 'latin1')));
  }
}
