/** Rules of files: which names they match, which of them decides, what is no rule. */
import test from 'ava';
import fc from '../helpers/fast-check.ts';
import { LbsError } from '../../src/errors.ts';
import {
  type RuleLanguage,
  parsePattern,
  parseRules,
} from '../../src/sources/filesystem/rule-lines.ts';
import { bytePath } from '../../src/std/byte-path.ts';
import { asByteText } from '../../src/std/byte-text.ts';
import { noMerge, type Question, recorded, selectorOf, type Tree } from '../helpers/ruled-tree.ts';

const SAMPLE: Tree = {
  etc: { 'a[b]c': '', abc: '', conf: '' },
  home: {
    link: '',
    user: { '.cache': { c: '' }, 'a.c': '', 'a.o': '', workspace: { tmp: '', 'w~': '' } },
  },
  tmp: { t: '' },
  var: { tmp: { etc: { conf: '' }, v: '' } },
};
const ALL = recorded(SAMPLE, {});
const but = (...gone: string[]) =>
  ALL.filter((path) => !gone.some((each) => path === each || path.startsWith(`${each}/`)));
const HOME = ALL.filter((path) => path.split('/')[0] === 'home');

/** What Cumulus 0.11 did, as its programs were seen to do it, but for its traps. */
const CUMULUS: readonly (readonly [string, Question, readonly string[]])[] = [
  ['any depth', { rules: ['- *.o'] }, but('home/user/a.o')],
  ['a name', { rules: ['- home'] }, but('home')],
  ['a name at the top', { rules: ['- /home'] }, but('home')],
  ['a directory at the top', { rules: ['- /home/'] }, but('home')],
  ['directories only', { named: ['home'], rules: ['- user/'] }, ['home', 'home/link']],
  ['* is one directory', { named: ['home'], rules: ['- /home/*/.cache'] }, HOME.filter((path) => !path.includes('.cache'))],
  ['tmp/ is no file', { rules: ['- tmp/'] }, but('tmp', 'var/tmp')],
  ['tmp is both', { rules: ['- tmp'] }, but('tmp', 'var/tmp', 'home/user/workspace/tmp')],
  ['first match', { rules: ['+ /var/tmp/', '- tmp/'] }, but('tmp')],
  ['only C', { named: ['home'], rules: ['+ /home/', '+ /home/user/', '+ *.c', '- *'] }, ['home', 'home/user', 'home/user/a.c']],
  ['only conf', { rules: ['+ /./', '+ /etc/', '+ conf', '- *'] }, ['etc', 'etc/conf']],
  ['two components', { rules: ['- etc/conf'] }, but('etc/conf', 'var/tmp/etc/conf')],
  ['? and no sets', { named: ['etc'], rules: ['- ?bc'] }, ['etc', 'etc/a[b]c', 'etc/conf']],
  ['[ is no set', { named: ['etc'], rules: ['- a[b]c'] }, ['etc', 'etc/abc', 'etc/conf']],
  ['** is all', { rules: ['- /home/**~'] }, but('home/user/workspace/w~')],
  ['** needs its slashes', { rules: ['- /etc/**/conf', '- /home/**/w~'] }, but('home/user/workspace/w~')],
  ['only sources', { rules: ['+ */', '+ *.c', '+ *.h', '- *'] }, ['etc', 'home', 'home/user', 'home/user/.cache', 'home/user/a.c', 'home/user/workspace', 'tmp', 'var', 'var/tmp', 'var/tmp/etc']],
  ['no match is in', { rules: ['- nothing', '+ some*'] }, ALL],
]; // prettier-ignore

/** Where its programs lost files, or did not do what its documents said. */
const REPAIRED: readonly (readonly [string, Question, readonly string[]])[] = [
  ['/dir/* leaves dir', { rules: ['- /etc/*'] }, but('etc/a[b]c', 'etc/abc', 'etc/conf')],
  ['/dir/** leaves dir', { rules: ['- /etc/**'] }, but('etc/a[b]c', 'etc/abc', 'etc/conf')],
  ['dir/* leaves dir', { rules: ['- var/*'] }, but('var/tmp')],
  ['a named path is in', { named: ['home'], rules: ['- home'] }, HOME],
  ['a named file is in', { named: ['etc/conf'], rules: ['- conf'] }, ['etc', 'etc/conf']],
  ['- * leaves the named', { named: ['home', 'etc/conf'], rules: ['- *'] }, ['etc', 'etc/conf', 'home']],
  ['a name in what is out', { named: ['.', 'home/user/workspace'], rules: ['- user'] }, but('home/user').concat(['home/user', 'home/user/workspace', 'home/user/workspace/tmp', 'home/user/workspace/w~']).sort()],
]; // prettier-ignore

/** How rules and the options --exclude and --include go together. */
const TOGETHER: readonly (readonly [string, Question, readonly string[]])[] = [
  ['+ does not undo --exclude', { exclude: ['*.o'], rules: ['+ *.o'] }, but('home/user/a.o')],
  ['--include undoes -', { include: ['home/user/a.o'], rules: ['- *.o', '- user'] }, [...but('home/user'), 'home/user', 'home/user/a.o'].sort()],
  ['an --include pattern too', { include: ['*.o'], rules: ['- *'] }, ['home', 'home/user', 'home/user/a.o']],
  ['below an --include rules count', { exclude: ['/home/*'], include: ['home/user'], rules: ['- *.o'] }, but('home/user/a.o', 'home/link')],
  ['--exclude of a named path', { named: ['home'], exclude: ['home'], rules: ['+ home'] }, []],
]; // prettier-ignore

for (const [title, asked, wanted] of [...CUMULUS, ...REPAIRED, ...TOGETHER]) {
  test(`${title}: ${JSON.stringify(asked)}`, (t) => {
    t.deepEqual(recorded(SAMPLE, asked), [...wanted]);
  });
}

const NESTED: Tree = {
  d: {
    '.r': '- *~\n+ /keep\n- keep\n- /e/only',
    e: { '.r': '+ *~\n- x', keep: '', only: '', 'w~': '', x: '' },
    keep: '',
    'w~': '',
    x: '',
  },
  keep: '',
  'w~': '',
};

test('the nearest rule file wins, and its patterns begin at its directory', (t) => {
  const kept = ['d', 'd/.r', 'd/e', 'd/e/.r', 'd/e/w~', 'd/keep', 'd/x', 'keep', 'w~'];
  t.deepEqual(recorded(NESTED, { dirMerge: ['.r'] }), kept);
  t.deepEqual(recorded(NESTED, { rules: [': .r'] }), kept, 'a rule can ask for rule files');
});

test('rules before and after a place for rule files win over them, or do not', (t) => {
  const before = recorded(NESTED, { rules: ['+ only', ': .r', '+ d/w~', '- w~'] });
  t.deepEqual(
    before.filter((path) => /only|w~/.test(path)),
    ['d/e/only', 'd/e/w~'],
  );
});

test('of several rule files in a directory the first name is asked first', (t) => {
  const tree: Tree = { 'a.r': '+ x\n- y', 'b.r': '- x\n+ y', x: '', y: '' };
  t.deepEqual(recorded(tree, { dirMerge: ['*.r'] }), ['a.r', 'b.r', 'x']);
  t.deepEqual(recorded(tree, { dirMerge: ['b.r', 'a.r'] }), ['a.r', 'b.r', 'y']);
});

test('names of rule files are patterns, and may say where the files lie', (t) => {
  const tree: Tree = { d: { r: '- x', x: '' }, e: { r: '- x', x: '' } };
  t.deepEqual(recorded(tree, { dirMerge: ['/d/r'] }), ['d', 'd/r', 'e', 'e/r', 'e/x']);
  t.deepEqual(recorded(tree, { dirMerge: ['?'] }), ['d', 'd/r', 'e', 'e/r']);
  t.deepEqual(recorded(tree, { dirMerge: ['**'] }), ['d', 'd/r', 'e', 'e/r']);
});

test('a rule file may ask for others, even for itself', (t) => {
  const tree: Tree = {
    d: { r: ': s\n: r', s: '- x', x: '', e: { s: '- y', y: '' } },
    s: '',
    x: '',
  };
  const kept = ['d', 'd/e', 'd/e/s', 'd/r', 'd/s', 's', 'x'];
  t.deepEqual(recorded(tree, { dirMerge: ['r'] }), kept);
});

test('rule files in what is left out, or above a named path, are not read', (t) => {
  const tree: Tree = { a: { r: '- x', b: { x: '' } }, c: { r: '- d', d: { x: '' } } };
  t.deepEqual(recorded(tree, { named: ['a/b'], dirMerge: ['r'] }), ['a', 'a/b', 'a/b/x']);
  const brought = { exclude: ['c'], include: ['c/d'], dirMerge: ['r'] };
  t.deepEqual(recorded(tree, brought), ['a', 'a/b', 'a/r', 'c', 'c/d', 'c/d/x']);
});

test('a rule file is asked for although it is left out itself', (t) => {
  t.deepEqual(recorded({ r: '- r\n- x', x: '', y: '' }, { dirMerge: ['r'] }), ['y']);
});

/** A name, a pattern of a rule file, and whether the one matches the other. */
const MATCHES: readonly (readonly [name: string, pattern: string, isMatch: boolean])[] = [
  ['a*b', 'a\\*b', false],
  ['a\\xb', 'a\\*b', true],
  ['{a,b}', '{a,b}', true],
  ['a', '{a,b}', false],
  ['new\nline', 'new?line', true],
  ['.hidden', '*', true],
  [' ', '?', true],
  ['a ', 'a ', true],
  ['a', 'a ', false],
  [' a', ' a', true],
  ['\xe9', '?', true],
  ['\xc3\xa9', '?', true],
  ['\xc3\xa9', '??', false],
  ['\xff\xfe', '?\xfe', true],
  ['\xff\xfe', '\xff*', true],
  ['\xff\xfe', '\xfe*', false],
  ['\xf0\x9f\x98\x80', '?', true],
  ['a\xf0\x9f\x98\x80b', 'a?b', true],
  ['ab', 'a*b*', true],
  ['aXbXc', 'a*b*c', true],
  ['aXbX', 'a*b*c', false],
  ['abc', '***', true],
  ['A', 'a', false],
]; // prettier-ignore

for (const [name, pattern, isMatch] of MATCHES) {
  test(`${JSON.stringify(pattern)} ${isMatch ? 'matches' : 'does not match'} ${JSON.stringify(name)}`, (t) => {
    t.is(recorded({ [name]: '' }, { rules: [`- ${pattern}`] }).length, isMatch ? 0 : 1);
  });
}

test('CR before the end of a line does not count, a blank there does', (t) => {
  const tree: Tree = { a: '', 'a ': '', b: '', 'b\r': '' };
  t.deepEqual(recorded(tree, { rules: ['- a \r\n- b\r', ''] }), ['a', 'b\r']);
});

test('empty lines, comments and a byte order mark are no rules', (t) => {
  const lines = '\xef\xbb\xbf- a\n\n  \t\n# - b\n#\n+ c';
  t.deepEqual(recorded({ a: '', b: '', c: '' }, { rules: [lines] }), ['b', 'c']);
});

/** Lines that are no rules, and what is said of them. */
const NO_RULES: readonly (readonly [string, RuleLanguage, RegExp])[] = [
  ['*.o', 'rules', /is not a rule/],
  ['-*.o', 'rules', /is not a rule/],
  ['-', 'rules', /is not a rule/],
  ['- ', 'rules', /has no pattern/],
  ['! a', 'rules', /is not a rule/],
  [' - a', 'rules', /is not a rule/],
  ['P a', 'rules', /is not a rule/],
  ['- ./a', 'rules', /has "\.", which/],
  ['- a/../b', 'rules', /has "\.\.", which/],
  ['- a//b', 'rules', /two slashes/],
  [': r/', 'rules', /names directories/],
  ['- a\0', 'rules', /NUL/],
  ['a\0', 'ignore', /NUL/],
  ['[a', 'ignore', /a \[ without its \]/],
  ['[a\\', 'ignore', /a \[ without its \]/],
  ['[[:alpha]', 'ignore', /unknown class/],
  ['[[:word:]]', 'ignore', /unknown class/],
  ['a\\', 'ignore', /ends in a backslash/],
  ['!', 'ignore', /no pattern/],
  ['/', 'ignore', /no pattern/],
]; // prettier-ignore

for (const [line, language, message] of NO_RULES) {
  test(`${JSON.stringify(line)} is not passed over in ${language}`, (t) => {
    const raw = Buffer.from(`#\n${line}\n`, 'latin1');
    const { items, problems } = parseRules(
      { file: bytePath('R'), raw, base: 0, merge: noMerge },
      language,
    );
    t.deepEqual(items, []);
    t.is(problems.length, 1);
    t.is(problems[0]?.line, 2);
    t.regex(problems[0]?.message ?? '', message);
  });
}

test('a pattern that could blow up is matched in no time', (t) => {
  const name = 'a'.repeat(255);
  const path = Array.from({ length: 16 }, () => name).join('/');
  const stars = '*a'.repeat(100);
  const patterns = [
    '*a*a*a*a*a*a*a*b',
    `${stars}b`,
    `**${'**a**/'.repeat(50)}b`,
    `/${'**a*a'.repeat(50)}b`,
  ];
  const started = process.cpuUsage();
  for (const pattern of patterns) {
    t.false(parsePattern(asByteText(pattern)).glob.matches(name));
    t.false(parsePattern(asByteText(pattern)).glob.matches(path));
  }
  for (const line of [`${stars}b`, `${'**/*a*'.repeat(50)}/b`, `${'[!b]*'.repeat(50)}b`]) {
    t.deepEqual(recorded({ [name]: '' }, { ignoreFile: ['i'] }), [name]);
    t.deepEqual(recorded({ i: line, [name]: '' }, { ignoreFile: ['i'] }), [name, 'i'].sort());
  }
  const { user, system } = process.cpuUsage(started);
  t.true(user + system < 3_000_000, `${user + system} us`);
});

test('names of rule files that cannot be meant are refused', (t) => {
  const wrong: readonly (readonly [Question, RegExp])[] = [
    [{ dirMerge: [''] }, /empty --dir-merge/],
    [{ dirMerge: ['d/'] }, /names directories/],
    [{ dirMerge: ['./r'] }, /--dir-merge=\.\/r has "\."/],
    [{ ignoreFile: [''] }, /--ignore-file="" is not the name/],
    [{ ignoreFile: ['d/.gitignore'] }, /is not the name of a file/],
  ];
  for (const [asked, message] of wrong) {
    const error = t.throws(() => selectorOf(asked), { instanceOf: LbsError });
    t.is(error?.code, 'usage');
    t.regex(error?.message ?? '', message);
  }
});

test('--rules win over --dir-merge, and that over --ignore-file', (t) => {
  const tree: Tree = { i: 'x\ny\nz', r: '+ x\n+ y', x: '', y: '', z: '' };
  const asked = { rules: ['- x'], dirMerge: ['r'], ignoreFile: ['i'] };
  t.deepEqual(recorded(tree, asked), ['i', 'r', 'y']);
});

/** The pattern as the regular expression that Cumulus 0.11 made of it, without the slash that ends it. */
function asExpression(pattern: string): RegExp {
  const plain = pattern.replace(/^\//, '').replace(/\/$/, '');
  const body = plain.replace(/\*+|\?|[^*?]/g, (part) => {
    if (part === '?') return '[^/]';
    if (part.startsWith('*')) return part === '*' ? '[^/]*' : '.*';
    return part;
  });
  return new RegExp(`^${pattern.startsWith('/') ? '' : '(?:|.*/)'}${body}$`, 's');
}

test('patterns match what the regular expression for them matches', (t) => {
  const pieces = fc.array(fc.constantFrom('a', 'b', 'ab', '*', '**', '?', '/'), { minLength: 1, maxLength: 6 }); // prettier-ignore
  const patterns = pieces.map((parts) => parts.join('').replace(/\/+/g, '/'));
  const names = fc.array(fc.constantFrom('a', 'b', 'ab', 'aab', 'ba'), { minLength: 1, maxLength: 4 }); // prettier-ignore
  let matches = 0;
  fc.assert(
    fc.property(patterns, names, (pattern, parts) => {
      const path = parts.join('/');
      const { glob, isOfName } = parsePattern(asByteText(pattern));
      const isMatch = glob.matches(isOfName ? (parts.at(-1) ?? '') : path);
      t.is(isMatch, asExpression(pattern).test(path), `${pattern} ${path}`);
      if (isMatch) matches++;
    }),
    { numRuns: 5000 },
  );
  t.true(matches > 100);
});
