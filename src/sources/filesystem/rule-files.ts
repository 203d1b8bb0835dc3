/**
 * Reads the files that rules stand in: those that a person names, and those found in the tree.
 *
 * They differ in trust. In a named file a mistake is an error before anything is read. A file in
 * the tree may be anybody's: it is opened through the directory that is being scanned, never
 * through a link, only if it is a regular file and not huge; what is wrong with it is a warning,
 * and then nothing is left out because of it.
 */
import { readFileSync } from 'node:fs';
import { LbsError, errnoName, messageOf } from '../../errors.ts';
import { statusIfAny } from '../../posix/file-status.ts';
import type { SourceWarning } from '../../report.ts';
import { type BytePath, bytePath, showPath } from '../../std/byte-path.ts';
import { type ByteText, byteText, joinText, toBytePath } from '../../std/byte-text.ts';
import { SourceTrouble } from '../source.ts';
import { passOwnTrouble } from './entry-trouble.ts';
import { nameBytes } from './filesystem-entry.ts';
import { Glob, literalSteps } from './glob.ts';
import { UnusableLine } from './ignore-pattern.ts';
import { decoded } from './name-text.ts';
import { openContent } from './open-content.ts';
import { type RuleFileThere, TREE_RULES_BYTES_MAX } from './rule-scope.ts';
import {
  type ParsedRules,
  type RuleItem,
  type RuleProblem,
  onlyKept,
  parsePattern,
  parseRules,
} from './rule-lines.ts';

/** Which files of rules a person asked for. */
export type RuleOptions = {
  /** Files of rules, in order. */
  readonly rules?: readonly BytePath[];
  /** Patterns of names of rule files in the tree. */
  readonly dirMerges?: readonly Buffer[];
  /** Names of ignore files in the tree. */
  readonly ignoreFiles?: readonly Buffer[];
};

const SLASH = 0x2f;
/** Files merged into one, directly or not: enough for any sense, and an end for one that merges itself. */
const MERGES_MAX = 16;
/** Of one file in the tree: enough to see what is wrong with it. */
const PROBLEMS_TOLD = 5;

function readNamed(file: BytePath): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    if (errnoName(cause) === 'ENOENT') {
      throw new LbsError('source-missing', `there is no rule file ${showPath(file)}`, { cause });
    }
    const message = `cannot read the rule file ${showPath(file)}: ${messageOf(cause)}`;
    throw new LbsError('io', message, { cause });
  }
}

/** A `. FILE` of a named file: relative to the directory of the file that has it. */
function besides(file: BytePath, merged: BytePath): BytePath {
  if (merged[0] === SLASH) return merged;
  const cut = file.lastIndexOf(SLASH) + 1;
  return bytePath(Buffer.concat([file.subarray(0, cut), merged]));
}

/** Counts the files that are merged into one. */
class MergeCount {
  #merged = 0;

  /** @throws {UnusableLine} */
  add(): void {
    if (++this.#merged <= MERGES_MAX) return;
    throw new UnusableLine(`merges more than ${MERGES_MAX} files: does one merge itself?`);
  }
}

function parseNamed(file: BytePath, count: MergeCount): ParsedRules {
  const merge = (merged: BytePath) => {
    count.add();
    try {
      return parseNamed(besides(file, merged), count);
    } catch (error) {
      if (!(error instanceof LbsError)) throw error;
      throw new UnusableLine(`cannot be done: ${error.message}`);
    }
  };
  const { items, problems } = parseRules({ file, raw: readNamed(file), base: 0, merge }, 'rules');
  // The room is for files of others.
  return { items: items.map((item) => ({ ...item, sizeBytes: 0 })), problems };
}

function refuse({ file, line, message }: RuleProblem): never {
  throw new LbsError('usage', `${showPath(file)}, line ${line} ${message}`, {
    hint: 'the rules are described in lbs-rules(5)',
  });
}

function dirMergeItem(name: Buffer): RuleItem {
  const what = `--dir-merge=${showPath(name)}`;
  if (name.length === 0) throw new LbsError('usage', 'an empty --dir-merge was given');
  try {
    const pattern = parsePattern(byteText(name));
    if (pattern.onlyDirectories) throw new UnusableLine('names directories, not files of rules');
    return { kind: 'slot', base: 0, language: 'rules', name: pattern, sizeBytes: 0 };
  } catch (cause) {
    if (!(cause instanceof UnusableLine)) throw cause;
    throw new LbsError('usage', `${what} ${cause.message}`, { cause });
  }
}

function ignoreFileItem(name: Buffer): RuleItem {
  const text = byteText(name);
  if (text === '' || text === '.' || text === '..' || text.includes('/')) {
    throw new LbsError('usage', `--ignore-file="${showPath(name)}" is not the name of a file`, {
      hint: 'give a name without slashes, such as .gitignore',
    });
  }
  const glob = new Glob(literalSteps(decoded(text)), true);
  const pattern = { onlyDirectories: false, isOfName: true, glob };
  return { kind: 'slot', base: 0, language: 'ignore', name: pattern, sizeBytes: 0 };
}

/**
 * Reads what a person named: the rules that hold at the top, in the order in which they are asked. Undefined
 * when nothing was named. @throws {LbsError} usage with file and line, source-missing, io
 */
export function readRules(options: RuleOptions): readonly RuleItem[] | undefined {
  const items = [
    ...(options.rules ?? []).flatMap((file) => {
      const { items, problems } = parseNamed(file, new MergeCount());
      for (const problem of problems) refuse(problem);
      return items;
    }),
    ...(options.dirMerges ?? []).map(dirMergeItem),
    ...(options.ignoreFiles ?? []).map(ignoreFileItem),
  ];
  return items.length === 0 ? undefined : items;
}

/** How the files that one rule file is made of are read. */
type Reading = {
  readonly file: RuleFileThere;
  readonly count: MergeCount;
  roomBytes: number;
};

/** Reads rule files in one open directory. */
export class RuleReader {
  readonly #fd: number;
  readonly #directory: ByteText;
  readonly #warn: (warning: SourceWarning) => void;

  constructor(fd: number, directory: ByteText, warn: (warning: SourceWarning) => void) {
    this.#fd = fd;
    this.#directory = directory;
    this.#warn = warn;
  }

  /** The rules of a file; after a warning only those that keep something, or none. */
  read(file: RuleFileThere): readonly RuleItem[] {
    const path = toBytePath(joinText(this.#directory, file.name));
    try {
      const reading = { file, count: new MergeCount(), roomBytes: file.roomBytes };
      const parsed = this.#parse(file.name, path, reading);
      if (parsed === undefined || parsed.problems.length === 0) return parsed?.items ?? [];
      this.#tell(parsed.problems);
      return onlyKept(parsed.items);
    } catch (error) {
      if (!(error instanceof UnusableLine)) throw error;
      this.#say(path, `${error.message}; nothing is left out because of it`);
      return [];
    }
  }

  /** Undefined when there is no such file. @throws {UnusableLine} */
  #parse(name: ByteText, file: BytePath, reading: Reading): ParsedRules | undefined {
    const raw = this.#content(name, file, reading);
    if (raw === undefined) return undefined;
    const merge = (merged: BytePath) => {
      reading.count.add();
      const other = byteText(merged);
      if (other.includes('/') || other === '.' || other === '..') {
        throw new UnusableLine('names a file elsewhere: only files beside it can be merged');
      }
      const parsed = this.#parse(other, toBytePath(joinText(this.#directory, other)), reading);
      if (parsed === undefined) throw new UnusableLine('names a file that is not there');
      return parsed;
    };
    const { base, language } = reading.file;
    return parseRules({ file, raw, base, merge }, language);
  }

  /** The bytes of a file; undefined when there is none. @throws {UnusableLine} */
  #content(name: ByteText, path: BytePath, reading: Reading): Buffer | undefined {
    const place = nameBytes(name);
    try {
      // Looked at first, since to open a device may already do something.
      const status = statusIfAny(this.#fd, place);
      if (status === undefined) return undefined;
      if (status.type !== 'f') throw new UnusableLine('is not a regular file');
      if (status.sizeBytes > reading.roomBytes) {
        const most = `${TREE_RULES_BYTES_MAX / 1024} KiB`;
        throw new UnusableLine(`is too large: the rules for one directory may take ${most} in all`);
      }
      reading.roomBytes -= status.sizeBytes;
      const content = openContent(this.#fd, place);
      try {
        const into = Buffer.allocUnsafe(status.sizeBytes);
        return into.subarray(0, content.read(into, 0, into.length));
      } finally {
        content.close();
      }
    } catch (error) {
      if (error instanceof UnusableLine) throw error;
      if (error instanceof SourceTrouble)
        throw new UnusableLine(`cannot be read: ${error.message}`);
      passOwnTrouble(error, showPath(path));
      throw new UnusableLine(`cannot be read: ${messageOf(error)}`);
    }
  }

  #tell(problems: readonly RuleProblem[]): void {
    for (const { file, line, message } of problems.slice(0, PROBLEMS_TOLD)) {
      this.#say(file, `line ${line} ${message}; nothing is left out because of this file`);
    }
    const [first] = problems;
    const more = problems.length - PROBLEMS_TOLD;
    if (more > 0 && first) this.#say(first.file, `and ${more} more lines that are no rules`);
  }

  #say(path: BytePath, message: string): void {
    this.#warn({ code: 'unusable-rules', path, message });
  }
}
