/** Rules on names: which entries of a tree a selector takes. No files are needed for it. */
import test from 'ava';
import { LbsError } from '../../src/errors.ts';
import type { NamedPaths } from '../../src/sources/filesystem/named-paths.ts';
import { Selector, type Verdict } from '../../src/sources/filesystem/select.ts';
import { bytePath } from '../../src/std/byte-path.ts';
import { type ByteText, asByteText } from '../../src/std/byte-text.ts';

/** A tree as nested objects: a text is a file. */
type Tree = { readonly [name: string]: Tree | string };

/** The tree of the samples of the original program. */
const SAMPLE: Tree = {
  p: { one: '', q: { r: { three: '' }, two: '' }, s: { four: '' } },
  top: '',
  u: { five: '' },
};

/** As resolved in the top directory; `named-paths` has tests of its own. */
function namedAt(roots: readonly string[]): NamedPaths {
  const plain = (text: string) => {
    const parts = text.split('/').filter((part) => part !== '' && part !== '.');
    return asByteText(parts.length === 0 ? '.' : parts.join('/'));
  };
  return {
    top: bytePath('/top'),
    roots: roots.map(plain),
    notes: [],
    relocate: (path) => plain(path.toString('latin1')),
  };
}

type Rules = {
  readonly paths?: string[];
  readonly exclude?: string[];
  readonly include?: string[];
};

const bytes = (rules: readonly string[] = []) =>
  rules.map((rule) => bytePath(Buffer.from(rule, 'latin1')));

function selectorOf({ paths = ['.'], exclude, include }: Rules): Selector {
  return new Selector({
    named: namedAt(paths),
    excludes: bytes(exclude),
    includes: bytes(include),
  });
}

/**
 * What a scan would record, without the top: what is selected, and directories on the way to it
 * or that are only looked into.
 */
function recorded(tree: Tree, rules: Rules): string[] {
  const selector = selectorOf(rules);
  const walk = (directory: Tree, path: ByteText, verdict: Verdict): string[] =>
    Object.keys(directory)
      .sort()
      .flatMap((name) => {
        const child = directory[name] ?? '';
        const isDirectory = typeof child !== 'string';
        const below = asByteText(path === '.' ? name : `${path}/${name}`);
        const answer = selector.child(verdict, path, asByteText(name), isDirectory);
        const inner =
          isDirectory && (answer.selected || answer.search) ? walk(child, below, answer) : [];
        const isOnTheWay = inner.length > 0 || (answer.node?.holdsMore ?? false);
        return answer.selected || (isDirectory && isOnTheWay) ? [below, ...inner] : [];
      });
  return walk(tree, asByteText('.'), selector.top());
}

const P = ['p', 'p/one', 'p/q', 'p/q/r', 'p/q/r/three', 'p/q/two', 'p/s', 'p/s/four'];
const Q = ['p/q', 'p/q/r', 'p/q/r/three', 'p/q/two'];
const U = ['u', 'u/five'];
const ALL = [...P, 'top', ...U];
const but = (...gone: string[]) =>
  ALL.filter((path) => !gone.some((each) => path === each || path.startsWith(`${each}/`)));

/** The table of the original program, with its traps repaired. */
const CLASSIC: readonly (readonly [Rules, readonly string[]])[] = [
  [{}, ALL],
  [{ paths: ['p'] }, P],
  [{ paths: ['p/q'] }, ['p', ...Q]],
  [{ paths: ['p/q/'] }, ['p', ...Q]],
  [{ paths: ['./p'] }, P],
  [{ paths: ['p', 'p/q'] }, P],
  [{ paths: ['p/q/r', 'u'] }, ['p', 'p/q', 'p/q/r', 'p/q/r/three', ...U]],
  [{ exclude: ['p'] }, ['top', ...U]],
  [{ exclude: ['p/'] }, ['top', ...U]],
  [{ exclude: ['./p'] }, ['top', ...U]],
  [{ exclude: ['/p'] }, ['top', ...U]],
  [{ paths: ['.', 'p/q'], exclude: ['p'] }, ['p', ...Q, 'top', ...U]],
  [{ paths: ['p', 'p/q/r'], exclude: ['p/q'] }, ['p', 'p/one', 'p/q', 'p/q/r', 'p/q/r/three', 'p/s', 'p/s/four']],
  [{ exclude: ['.'] }, []],
  [{ paths: ['p'], exclude: ['.'] }, P],
  [{ exclude: ['four'] }, ALL],
  [{ paths: ['p'], exclude: ['p/s/'] }, ['p', 'p/one', ...Q]],
  [{ exclude: ['pp', 'p/on', 'u/five/x', 'absent'] }, ALL],
]; // prettier-ignore

const PATTERNS: readonly (readonly [Rules, readonly string[]])[] = [
  [{ exclude: ['*'] }, []],
  [{ exclude: ['**'] }, []],
  [{ exclude: ['/*'] }, []],
  [{ exclude: ['f*'] }, but('p/s/four', 'u/five')],
  [{ exclude: ['*e'] }, but('p/one', 'p/q/r/three', 'u/five')],
  [{ exclude: ['?'] }, ['top']],
  [{ exclude: ['[a-q]'] }, ['top', ...U]],
  [{ exclude: ['[!a-q]'] }, but('p/q/r', 'p/s', 'u')],
  [{ exclude: ['p/*'] }, ['p', 'top', ...U]],
  [{ exclude: ['p/**'] }, ['p', 'top', ...U]],
  [{ exclude: ['/p/**'] }, ['p', 'top', ...U]],
  [{ exclude: ['q/*'] }, but('p/q/r', 'p/q/two')],
  [{ exclude: ['/q/*'] }, ALL],
  [{ exclude: ['/*/q'] }, but('p/q')],
  [{ exclude: ['/**/q'] }, but('p/q')],
  [{ exclude: ['/**/p'] }, but('p')],
  [{ exclude: ['p/**/three'] }, but('p/q/r/three')],
  [{ exclude: ['p/**/one'] }, but('p/one')],
  [{ exclude: ['*/'] }, ['top']],
  [{ exclude: ['t*/'] }, ALL],
  [{ exclude: ['/[p]/'] }, ['top', ...U]],
  [{ exclude: ['/P*', 'T?p'] }, ALL],
  [{ paths: ['p/q'], exclude: ['p*'] }, ['p', ...Q]],
  [{ paths: ['p/q'], exclude: ['q*'] }, ['p']],
  [{ exclude: ['p*'], include: ['p'] }, ALL],
  [{ exclude: ['/p'], include: ['three'].map((name) => `**/${name}`) }, ['p', 'p/q', 'p/q/r', 'p/q/r/three', 'top', ...U]],
  [{ exclude: ['p'], include: ['p/q/r'] }, ['p', 'p/q', 'p/q/r', 'p/q/r/three', 'top', ...U]],
  [{ exclude: ['p', 'p/q/r/three'], include: ['p/q/r'] }, ['p', 'p/q', 'p/q/r', 'top', ...U]],
  [{ exclude: ['p'], include: ['s/*'] }, ['p', 'p/s', 'p/s/four', 'top', ...U]],
  [{ paths: ['p'], exclude: ['/p/*'], include: ['/p/q'] }, ['p', ...Q]],
  [{ paths: ['p'], exclude: ['*'], include: ['/p/s/*'] }, ['p', 'p/s', 'p/s/four']],
  [{ paths: ['u'], include: ['t*'] }, U],
  [{ paths: ['u'], exclude: ['u'], include: ['f*'] }, U],
]; // prettier-ignore

for (const [rules, wanted] of [...CLASSIC, ...PATTERNS]) {
  test(`${JSON.stringify(rules)} takes what it says`, (t) => {
    t.deepEqual(recorded(SAMPLE, rules), [...wanted]);
  });
}

/** A name, a pattern, and whether the one matches the other. */
const MATCHES: readonly (readonly [name: string, pattern: string, isMatch: boolean])[] = [
  ['.hidden', '*', true],
  ['.hidden', '?hidden', true],
  ['.hidden', '[.]hidden', true],
  ['..a', '*', true],
  ['new\nline', 'new*', true],
  ['new\nline', 'new?line', true],
  ['a b', 'a?b', true],
  ['#x', '#*', true],
  ['!x', '!*', true],
  ['xyz', '!x*', false],
  ['{a,b}', '{a,?}', true],
  ['a', '{a,?}', false],
  ['+(a)', '+(*)', true],
  ['a', '+(a|*)', false],
  ['a*b', 'a\\*b', true],
  ['axb', 'a\\*b', false],
  ['a?', 'a\\?', true],
  ['[x]', '\\[x]', true],
  ['x', '\\[x]', false],
  // Nothing closes the bracket: it stands for itself.
  ['a[b', 'a[b', true],
  ['a[b', 'a[*', true],
  // Written exactly like the pattern.
  ['a[b]', 'a[b]', true],
  ['ab', 'a[b]', true],
  ['a^', 'a[\\^]', true],
  ['\xe9', '?', true],
  ['\xc3\xa9', '?', true],
  ['\xc3\xa9', 'caf\xc3\xa9*', false],
  ['caf\xc3\xa9s', 'caf\xc3\xa9*', true],
  ['caf\xc3\xa9s', 'caf?s', true],
  ['caf\xe9s', 'caf\xc3\xa9*', false],
  ['\xff\xfe', '?\xfe', true],
  ['\xff\xfe', '*', true],
  // U+1F600: one character.
  ['\xf0\x9f\x98\x80', '?', true],
  ['a\xf0\x9f\x98\x80b', 'a?b', true],
  ['ab', 'a?b', false],
  ['a.o', '*.o', true],
  ['.o', '*.o', true],
  ['a.O', '*.o', false],
  ['a.ox', '*.o', false],
];

for (const [name, pattern, isMatch] of MATCHES) {
  const latin1 = Buffer.from(name, 'latin1').toString('latin1');
  test(`${JSON.stringify(pattern)} ${isMatch ? 'matches' : 'does not match'} ${JSON.stringify(name)}`, (t) => {
    const left = recorded({ [latin1]: '' }, { exclude: [pattern] });
    t.deepEqual(left, isMatch ? [] : [latin1]);
  });
}

test('a directory whose name is no text does not change what matches below it', (t) => {
  const tree: Tree = { 'd\xff': { 'caf\xc3\xa9': '', 'x\xc3\xa9': '' } };
  t.deepEqual(recorded(tree, { exclude: ['caf\xc3\xa9*'] }), ['d\xff', 'd\xff/x\xc3\xa9']);
  t.deepEqual(recorded(tree, { exclude: ['x?'] }), ['d\xff', 'd\xff/caf\xc3\xa9']);
});

test('wildcards in the name of the working directory are no wildcards in a rule', (t) => {
  const below: NamedPaths = {
    ...namedAt(['.']),
    relocate: (path) => asByteText(`a[b]/${path.toString('latin1')}`.replace(/\/\.$/, '')),
  };
  const selector = new Selector({ named: below, excludes: bytes(['./*.o']), includes: [] });
  const judge = (directory: string) => {
    const above = selector.child(selector.top(), asByteText('.'), asByteText(directory), true);
    return selector.child(above, asByteText(directory), asByteText('x.o'), false).selected;
  };
  t.false(judge('a[b]'), 'the working directory itself');
  t.true(judge('ab'), 'what its name would match as a pattern');
});

test('a rule that cannot be used is an error before anything is read', (t) => {
  const unusable: readonly (readonly [Rules, RegExp])[] = [
    [{ exclude: [''] }, /empty/],
    [{ include: [''] }, /empty/],
    [{ paths: ['p'], exclude: ['p'], include: ['u'] }, /u lies outside/],
    [{ paths: ['p'], include: ['pp'] }, /pp lies outside/],
    [{ exclude: [`*${'x'.repeat(100_000)}`] }, /too long/],
  ];
  for (const [rules, message] of unusable) {
    const error = t.throws(() => selectorOf(rules), { instanceOf: LbsError });
    t.is(error?.code, 'usage');
    t.regex(error?.message ?? '', message);
  }
});

test('names that are properties of every object are names like any other', (t) => {
  const tree: Tree = { constructor: { toString: '' }, hasOwnProperty: '' };
  t.deepEqual(recorded(tree, { exclude: ['constructor/toString'] }), [
    'constructor',
    'hasOwnProperty',
  ]);
  t.deepEqual(recorded(tree, { paths: ['hasOwnProperty'] }), ['hasOwnProperty']);
});

test('a pattern with many stars does not take for ever', (t) => {
  const name = 'a'.repeat(200);
  const started = process.cpuUsage();
  t.deepEqual(recorded({ [name]: '' }, { exclude: ['*a*a*a*a*a*b', '**/**/**/**/x?'] }), [name]);
  const { user, system } = process.cpuUsage(started);
  t.true(user + system < 2_000_000, `${user + system} us`);
});
