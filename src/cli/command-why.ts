/** `lbs why`: whether a path is in a backup, and what decided that, as a line or as JSON. */
import { EXIT, LbsError } from '../errors.ts';
import type { Answer, Reason } from '../inspect/why.ts';
import { type BytePath, TOP, showPath } from '../std/byte-path.ts';
import { toBytePath } from '../std/byte-text.ts';
import type { CommandInput } from './command.ts';
import type { FlagValues } from './flag-values.ts';
import { jsonPath } from './json-report.ts';
import { openReport } from './open-report.ts';
import { WHY } from './options-why.ts';
import { markerNamesOf, namedPathsOf, rulesOf } from './selection-flags.ts';

/** A rule as its author wrote it, and where. */
type ShownRule = {
  readonly rule: BytePath;
  readonly file?: BytePath;
  readonly line?: number;
  readonly words: string;
};

function ruleOf(reason: Reason, flags: FlagValues): ShownRule | undefined {
  if (reason.kind === 'rule') {
    const { file, line, text } = reason.rule;
    const words = `${showPath(file)}, line ${line}: ${showPath(text)}`;
    return { rule: text, file, line, words };
  }
  if (reason.kind !== 'exclude' && reason.kind !== 'include') return undefined;
  const { kind, rule } = reason;
  const words = flags.given(kind).includes(rule)
    ? `--${kind}=${showPath(rule)}`
    : `${kind} = ${showPath(rule)} in the configuration file`;
  return { rule, words };
}

/** Why it is in, after "because". */
function insideWords({ path, reason, at, isSupposed }: Answer, rule: string): string {
  const isItself = at.equals(path);
  if (reason.kind === 'rule') return `of ${rule}`;
  if (reason.kind === 'include') {
    return isItself ? `of ${rule}` : `${rule} includes ${showPath(at)}, and no rule leaves it out`;
  }
  if (reason.kind === 'on-the-way') {
    return path.equals(TOP)
      ? 'the top always is'
      : 'something below it is; without its other contents';
  }
  if (isSupposed) return 'no rule leaves it out, supposing that it lies below a ROOT';
  return isItself
    ? 'it is a ROOT'
    : `it lies below the ROOT ${showPath(at)}, and no rule leaves it out`;
}

/** Why it is not in. */
function outsideWords({ path, reason, at, isSupposed }: Answer, rule: string): string {
  const where = at.equals(path) ? '' : `${showPath(at)} is left out by `;
  const contents = `what is in ${showPath(at)} is left out,`;
  const supposed = isSupposed ? ', unless a ROOT lies on it' : '';
  switch (reason.kind) {
    case 'exclude':
    case 'rule':
      return `${where}${rule}`;
    case 'exclude-if-present':
      return `${contents} since it holds ${showPath(toBytePath(reason.marker))} (--exclude-if-present)`;
    case 'exclude-caches':
      return `${contents} since it is tagged as a cache (--exclude-caches)`;
    case 'one-file-system':
      return `${contents} since it is another file system (--one-file-system)${supposed}`;
    case 'kernel-filesystem':
      return `${contents} since it is a file system of the kernel${supposed}`;
    case 'own-file':
      return 'it is a file of the backup itself';
    case 'unsupported-type':
      return 'it is of a type that cannot be stored';
    case 'unreadable':
      return at.equals(path)
        ? `it cannot be read: ${reason.message}`
        : `${showPath(at)} cannot be read: ${reason.message}`;
    case 'include':
    case 'named':
    case 'on-the-way':
    case 'outside':
      return 'it does not lie below any ROOT';
  }
}

function jsonOf(answer: Answer, rule: ShownRule | undefined, message: string): string {
  const { path, included, reason, at, isSupposed } = answer;
  return JSON.stringify({
    message_type: 'why',
    ...jsonPath('path', path),
    included,
    reason: reason.kind,
    message,
    ...jsonPath('at', at),
    ...(rule && jsonPath('rule', rule.rule)),
    ...(rule?.file && { ...jsonPath('file', rule.file), line: rule.line }),
    root_supposed: isSupposed,
  });
}

async function ownPlacesOf(flags: FlagValues): Promise<string[]> {
  const stores = flags.choices('store').filter((store) => store !== '');
  const localdb = flags.text('localdb');
  const places = localdb === undefined ? [] : [localdb];
  if (stores.length === 0) return places;
  const { openStore } = await import('../stores/open-store.ts');
  return [...stores.map((store) => openStore(store).place), ...places];
}

/** Answers; 0 whatever the answer is. */
export async function runWhy({ flags, outputs }: CommandInput): Promise<number> {
  const report = openReport('why', flags, outputs);
  try {
    const [path, ...given] = flags.operands;
    if (path === undefined || path.length === 0) {
      throw new LbsError('usage', 'no path given', {
        hint: `usage: lbs why ${WHY.usage.join('')}`,
      });
    }
    const { why } = await import('../inspect/why.ts');
    const answer = why({
      path,
      roots: namedPathsOf(flags, given),
      ...rulesOf(flags),
      excludeIfPresent: markerNamesOf(flags),
      excludeCaches: flags.isOn('exclude-caches'),
      oneFileSystem: flags.isOn('one-file-system'),
      ownPlaces: await ownPlacesOf(flags),
      report: report.report,
    });
    const rule = ruleOf(answer.reason, flags);
    const message = answer.included
      ? `in the backup, because ${insideWords(answer, rule?.words ?? '')}`
      : `not in the backup: ${outsideWords(answer, rule?.words ?? '')}`;
    const line = flags.isOn('json')
      ? jsonOf(answer, rule, message)
      : `${showPath(answer.path)}: ${message}`;
    outputs.out.line(line);
    return EXIT.done;
  } finally {
    report.close();
  }
}
