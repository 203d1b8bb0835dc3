/**
 * From the paths a person named to a top directory and roots below it.
 *
 * Absolute paths have the top `/`; relative ones the working directory, or as many directories
 * above it as the paths climb with `..`. Roots are real paths relative to the top: `./p`, `p/`,
 * `a/../b`, `..` and `/` mean what the shell means by them, and a path that leads through a
 * symbolic link is stored where it really is (with a note that says so).
 */
import { realpathSync } from 'node:fs';
import { LbsError, messageOf } from '../../errors.ts';
import { AT_FDCWD, cString } from '../../posix/libc.ts';
import { statusAt } from '../../posix/file-status.ts';
import { type BytePath, bytePath, componentsOf, isWithin, showPath } from '../../std/byte-path.ts';
import { type ByteText, asByteText, byteText } from '../../std/byte-text.ts';

const SLASH = 0x2f;
const ROOT = bytePath('/');

export type NamedPaths = {
  /** Absolute real path of the top directory. */
  readonly top: BytePath;
  /** Roots relative to the top, without duplicates; `.` is the top itself. */
  readonly roots: readonly ByteText[];
  /** Remarks for the person, such as a path that was reached through a link. */
  readonly notes: readonly string[];
  /** A rule's path (`--exclude`, `--include`) as it appears below the top. */
  relocate(path: BytePath): ByteText;
};

function isAbsolute(path: Buffer): boolean {
  return path[0] === SLASH;
}

function isDotDot(component: Buffer): boolean {
  return component.length === 2 && component[0] === 0x2e && component[1] === 0x2e;
}

function absolute(components: readonly Buffer[]): BytePath {
  const slash = Buffer.from('/');
  return components.length === 0
    ? ROOT
    : bytePath(Buffer.concat(components.flatMap((component) => [slash, component])));
}

/** Removes `..` by text alone; the number of steps above the start is `climbs`. */
function withoutDotDot(path: Buffer): { components: Buffer[]; climbs: number } {
  const components: Buffer[] = [];
  let climbs = 0;
  for (const component of componentsOf(path)) {
    if (!isDotDot(component)) components.push(component);
    else if (components.pop() === undefined) climbs++;
  }
  return { components, climbs };
}

function realPath(path: Buffer): BytePath {
  return bytePath(realpathSync.native(path, { encoding: 'buffer' }));
}

/** Real path of the directory part, the last component as it is (it may be a link itself). */
class RealPaths {
  readonly #directories = new Map<string, BytePath>();

  of(path: BytePath): BytePath {
    const last = componentsOf(path).at(-1);
    const endsInDirectory = path.at(-1) === SLASH || path.at(-1) === 0x2e;
    if (
      last === undefined ||
      isDotDot(last) ||
      (endsInDirectory && !path.subarray(-last.length).equals(last))
    ) {
      return this.#directory(path);
    }
    const cut = path.lastIndexOf(last);
    const directory = this.#directory(cut === 0 ? bytePath('.') : bytePath(path.subarray(0, cut)));
    return absolute([...componentsOf(directory), last]);
  }

  #directory(path: BytePath): BytePath {
    const key = byteText(path);
    let real = this.#directories.get(key);
    if (real === undefined) this.#directories.set(key, (real = realPath(path)));
    return real;
  }
}

function locate(path: BytePath, realPaths: RealPaths): BytePath {
  try {
    const real = realPaths.of(path);
    statusAt(AT_FDCWD, cString(real));
    return real;
  } catch (error) {
    throw new LbsError('source-missing', `cannot back up ${showPath(path)}: ${messageOf(error)}`, {
      cause: error,
      hint: 'nothing was stored; check the spelling, and that the disk it lies on is mounted',
    });
  }
}

/** The real path of an entry that is there. @throws {LbsError} source-missing */
export function realPathOf(path: BytePath): BytePath {
  try {
    return locate(path, new RealPaths());
  } catch (error) {
    if (!(error instanceof LbsError)) throw error;
    const message = `cannot look at ${showPath(path)}: ${messageOf(error.cause)}`;
    throw new LbsError('source-missing', message, {
      cause: error,
      hint: 'only of what is there can be said whether it is in a backup; check the spelling',
    });
  }
}

/** A real path as it is recorded below a top; undefined when it does not lie there. */
export function recordedPath(real: BytePath, top: BytePath): ByteText | undefined {
  return isWithinTop(real, top) ? below(real, top) : undefined;
}

/** The widest path that a backup may have been given for something to be in it: `/`, or `.` or `..`. */
export function widestRoot(path: BytePath): BytePath {
  if (isAbsolute(path)) return ROOT;
  const { climbs } = withoutDotDot(path);
  return bytePath(climbs === 0 ? '.' : Array.from({ length: climbs }, () => '..').join('/'));
}

function below(path: BytePath, top: BytePath): ByteText {
  const skip = componentsOf(top).length;
  const rest = componentsOf(path).slice(skip);
  return rest.length === 0
    ? asByteText('.')
    : asByteText(rest.map((part) => byteText(part)).join('/'));
}

function checkSameKind(paths: readonly BytePath[]): boolean {
  const first = paths[0];
  if (first === undefined) {
    throw new LbsError('usage', 'no path was given to back up', {
      hint: 'example: lbs --dest=/mnt/backup /home',
    });
  }
  if (paths.some((path) => path.length === 0)) {
    throw new LbsError('usage', 'an empty path was given to back up', {
      hint: 'write "." for the working directory; check for an unset variable in a script',
    });
  }
  const other = paths.find((path) => isAbsolute(path) !== isAbsolute(first));
  if (other !== undefined) {
    throw new LbsError(
      'usage',
      `cannot mix relative and absolute paths: ${showPath(first)} and ${showPath(other)}`,
      { hint: 'write all of them with a leading /, or none' },
    );
  }
  return isAbsolute(first);
}

/** @throws {LbsError} usage, source-missing (before anything is written) */
export function resolveNamedPaths(paths: readonly BytePath[]): NamedPaths {
  const fromRoot = checkSameKind(paths);
  const here = fromRoot ? ROOT : realPath(Buffer.from('.'));
  const climbs = fromRoot ? 0 : Math.max(...paths.map((path) => withoutDotDot(path).climbs));
  const hereParts = componentsOf(here);
  const top = absolute(hereParts.slice(0, Math.max(0, hereParts.length - climbs)));
  const realPaths = new RealPaths();
  const notes: string[] = [];
  const roots = new Set<ByteText>();
  for (const path of paths) {
    const real = locate(path, realPaths);
    if (!isWithinTop(real, top)) {
      throw new LbsError(
        'usage',
        `${showPath(path)} leads out of ${showPath(top)} to ${showPath(real)}`,
        {
          hint: 'name it by its absolute path',
        },
      );
    }
    const written = withoutDotDot(path);
    const start = fromRoot
      ? []
      : hereParts.slice(0, Math.max(0, hereParts.length - written.climbs));
    const asWritten = absolute([...start, ...written.components]);
    if (!asWritten.equals(real)) {
      notes.push(
        `${showPath(path)} is reached through a symbolic link; it is stored as ${showPath(real)}`,
      );
    }
    roots.add(below(real, top));
  }
  return {
    top,
    roots: [...roots],
    notes,
    relocate: (path) => relocate(path, fromRoot ? undefined : hereParts, top),
  };
}

/**
 * Paths in one directory that an earlier backup named, as it resolved them; they need not be there
 * any more. @throws {LbsError} source-missing for the directory
 */
export function nameAgain(directory: BytePath, roots: readonly Buffer[]): NamedPaths {
  let top: BytePath;
  try {
    top = realPath(directory);
  } catch (error) {
    const message = `there is no ${showPath(directory)}: ${messageOf(error)}`;
    throw new LbsError('source-missing', message, { cause: error });
  }
  return {
    top,
    roots: roots.map((root) => byteText(root)),
    notes: [],
    relocate: (path) => relocate(path, isAbsolute(path) ? undefined : componentsOf(top), top),
  };
}

function isWithinTop(path: BytePath, top: BytePath): boolean {
  return top.equals(ROOT) || isWithin(path, top);
}

/**
 * A rule's path relative to the top. With relative paths a rule is relative to the working
 * directory; one with a leading `/` is an absolute path if it lies below the top, else (as the
 * classic program had it) the slash only says "from the top".
 */
function relocate(path: BytePath, here: Buffer[] | undefined, top: BytePath): ByteText {
  if (here === undefined) return below(absolute(withoutDotDot(path).components), ROOT);
  if (isAbsolute(path)) {
    const plain = absolute(withoutDotDot(path).components);
    const inside = !top.equals(ROOT) && isWithin(plain, top);
    return below(plain, inside ? top : ROOT);
  }
  const { components, climbs } = withoutDotDot(path);
  return below(absolute([...here.slice(0, Math.max(0, here.length - climbs)), ...components]), top);
}
