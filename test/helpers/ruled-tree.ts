/** Trees in memory that rules of files are tried on: what a scan would record of them. */
import { UnusableLine } from '../../src/sources/filesystem/ignore-pattern.ts';
import { readRules } from '../../src/sources/filesystem/rule-files.ts';
import { type RuleLanguage, parseRules } from '../../src/sources/filesystem/rule-lines.ts';
import type { RuleScope } from '../../src/sources/filesystem/rule-scope.ts';
import { Selector, type Verdict } from '../../src/sources/filesystem/select.ts';
import { bytePath } from '../../src/std/byte-path.ts';
import { type ByteText, asByteText } from '../../src/std/byte-text.ts';

/** A tree as nested objects: a text is a file, and what stands in it where that matters. */
export type Tree = { readonly [name: string]: Tree | string };

export type Question = {
  readonly named?: readonly string[];
  readonly exclude?: readonly string[];
  readonly include?: readonly string[];
  /** Lines of a file for --rules. */
  readonly rules?: readonly string[];
  readonly dirMerge?: readonly string[];
  readonly ignoreFile?: readonly string[];
};

/** Words as the command line gives them. */
export const bytes = (texts: readonly string[] = []) =>
  texts.map((text) => bytePath(Buffer.from(text, 'latin1')));

/** For texts that name no other file. */
export function noMerge(): never {
  throw new UnusableLine('merges');
}

/** The rules of a text. */
function itemsOf(text: string, language: RuleLanguage = 'rules', base = 0): RuleScope {
  const raw = Buffer.from(text, 'latin1');
  const { items } = parseRules({ file: bytePath('R'), raw, base, merge: noMerge }, language);
  return items;
}

/** What decides, with all that was asked for. */
export function selectorOf(asked: Question): Selector {
  const roots = (asked.named ?? ['.']).map(asByteText);
  const inTree = { dirMerges: bytes(asked.dirMerge), ignoreFiles: bytes(asked.ignoreFile) };
  return new Selector({
    named: { roots, relocate: (path) => asByteText(path.toString('latin1').replace(/^\//, '')) },
    excludes: bytes(asked.exclude),
    includes: bytes(asked.include),
    rules: [...itemsOf((asked.rules ?? []).join('\n')), ...(readRules(inTree) ?? [])],
  });
}

/** What a scan would record, without the top. */
export function recorded(tree: Tree, asked: Question): string[] {
  const selector = selectorOf(asked);
  const walk = (directory: Tree, path: ByteText, verdict: Verdict): string[] => {
    const names = Object.keys(directory).sort().map(asByteText);
    const inside = selector.entered(verdict, {
      path,
      names,
      read: ({ name, language, base }) => {
        const text = directory[name];
        return typeof text === 'string' ? itemsOf(text, language, base) : [];
      },
    });
    return names.flatMap((name) => {
      const child = directory[name] ?? '';
      const isDirectory = typeof child !== 'string';
      const below = asByteText(path === '.' ? name : `${path}/${name}`);
      const answer = selector.child(inside, path, name, isDirectory);
      const isEntered = isDirectory && (answer.selected || answer.search);
      const inner = isEntered ? walk(child, below, answer) : [];
      return answer.selected || inner.length > 0 ? [below, ...inner] : [];
    });
  };
  return walk(tree, asByteText('.'), selector.top());
}
