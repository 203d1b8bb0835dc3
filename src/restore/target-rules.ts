/**
 * Files of rules that lie in a target, read as a backup reads them: what they leave out is in no
 * snapshot, so `--delete` must not take it for things that were gone by then.
 *
 * Asked by entry-selection.ts for extra-entries.ts, of directories by their paths in the snapshot.
 */
import { errnoName } from '../errors.ts';
import { sortedNames } from '../posix/directory-names.ts';
import { close, cString } from '../posix/libc.ts';
import { openDirectory } from '../sources/filesystem/directory-reader.ts';
import { RuleReader } from '../sources/filesystem/rule-files.ts';
import type { RuleDirectory } from '../sources/filesystem/rule-scope.ts';
import { TOP, showPath } from '../std/byte-path.ts';
import { type ByteText, asByteText, toBytePath } from '../std/byte-text.ts';
import type { EntrySelection } from './entry-selection.ts';
import type { RestoreTally } from './restore-tally.ts';
import type { TargetTree } from './target-tree.ts';

export class TargetRules {
  readonly #tree: TargetTree;
  readonly #selection: EntrySelection;
  readonly #tally: RestoreTally;
  /** Rule files that were complained of: a directory can be asked for again. */
  readonly #told = new Set<string>();

  constructor(tree: TargetTree, selection: EntrySelection, tally: RestoreTally) {
    this.#tree = tree;
    this.#selection = selection;
    this.#tally = tally;
  }

  /** What `use` makes of a directory; undefined where the target has none there. */
  within<T>(source: ByteText, use: (directory: RuleDirectory) => T): T | undefined {
    const listed = this.#list(source);
    if (listed === undefined) return undefined;
    const { fd, names } = listed;
    try {
      const reader = new RuleReader(fd, source, ({ path, message }) =>
        this.#tell(`the rules in ${showPath(path)}: ${message}`),
      );
      return use({ path: source, names, read: (file) => reader.read(file) });
    } finally {
      close(fd);
    }
  }

  #list(source: ByteText): { fd: number; names: readonly ByteText[] } | undefined {
    const path = toBytePath(source);
    const place = this.#selection.placeOf(path.equals(TOP) ? Buffer.alloc(0) : path);
    if (place === undefined) return undefined;
    let fd = -1;
    try {
      fd = openDirectory(this.#tree.directory(place).fd, cString('.'));
      return { fd, names: sortedNames(fd).map(asByteText) };
    } catch (error) {
      if (fd >= 0) close(fd);
      if (errnoName(error) === undefined) throw error;
      // Nothing there, or nothing that can be listed: whoever deletes in it finds that out as well.
      return undefined;
    }
  }

  #tell(message: string): void {
    if (this.#told.has(message)) return;
    this.#told.add(message);
    this.#tally.note(message);
  }
}
