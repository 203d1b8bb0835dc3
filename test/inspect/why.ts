/** `why` beside real backups of random trees: for every path there is, it says what the backup did. */
import { mkdirSync, readdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'ava';
import fc from '../helpers/fast-check.ts';
import { LbsError } from '../../src/errors.ts';
import { why } from '../../src/inspect/why.ts';
import { backup, bytePath, ls } from '../../src/library.ts';
import { silentReport } from '../../src/report.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const TAG = 'Signature: 8a477f597d28d172789f06886806bc55';
const name = fc.constantFrom('a', 'b', 'c.o', 'd');
const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
const directory = fc.array(fc.constantFrom('a', 'b', 'd'), { maxLength: 3 });
const pattern = fc.constantFrom('a', 'b/', '*.o', '/d/*', '/a', 'a/b', '*', '**', '/**/d', 'd/');
const rule = fc.tuple(fc.constantFrom('+', '-', '-', 'x'), pattern).map((parts) => parts.join(' '));
const line = fc.tuple(fc.constantFrom('', '', '!'), pattern).map((parts) => parts.join(''));
const few = { maxLength: 2 };
const special = fc.oneof(
  fc.array(rule, few).map((lines) => ['.r', lines.join('\n')] as const),
  fc.array(line, few).map((lines) => ['.gitignore', lines.join('\n')] as const),
  fc.constant(['.no', ''] as const),
  fc.constant(['CACHEDIR.TAG', TAG] as const),
);
const question = fc.record({
  files: fc.array(path, { minLength: 4, maxLength: 14 }),
  specials: fc.array(fc.tuple(directory, special), { maxLength: 5 }),
  roots: fc.array(path, { maxLength: 2 }),
  // Of the whole tree, too.
  hasAll: fc.boolean(),
  excludes: fc.array(pattern, few),
  includes: fc.array(fc.constantFrom('*.o', '*b', '/a/*', '*d/'), { maxLength: 1 }),
  rules: fc.array(fc.tuple(fc.constantFrom('+', '-'), pattern), few),
  storeAt: fc.constantFrom('../store', 'a/store'),
});

function makeTree(
  tree: string,
  files: readonly string[],
  specials: readonly (readonly [string, string])[],
): void {
  for (const [at, each] of files.entries()) {
    try {
      mkdirSync(dirname(join(tree, each)), { recursive: true });
      if (at % 5 === 4) symlinkSync('a', join(tree, each));
      else writeFileSync(join(tree, each), each);
    } catch {
      // Something is in the way: one path less.
    }
  }
  for (const [each, text] of specials) {
    try {
      mkdirSync(dirname(join(tree, each)), { recursive: true });
      writeFileSync(join(tree, each), text);
    } catch {
      // The same.
    }
  }
}

function everyPath(tree: string): string[] {
  const below = readdirSync(tree, { recursive: true, encoding: 'utf8' });
  const parts = tree.split('/').slice(1);
  const above = parts.map((_, at) => `/${parts.slice(0, at + 1).join('/')}`);
  const all = ['/', ...above, ...below.map((each) => join(tree, each))];
  // The listing follows links; what lies behind one has another path.
  return all.filter((each) => realpathSync(dirname(each)) === dirname(each));
}

test('why says of every path what the backup did', async (t) => {
  const base = tempDir(t);
  let count = 0;
  let asked = 0;
  const kinds = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(question, async (q) => {
      const tree = join(base, String(count++), 'tree');
      const store = join(tree, q.storeAt);
      mkdirSync(tree, { recursive: true });
      makeTree(tree, q.files, q.specials.map(([at, [file, text]]) => [[...at, file].join('/'), text])); // prettier-ignore
      try {
        mkdirSync(store, { recursive: true });
      } catch {
        return;
      }
      const rules = join(base, `${count}.rules`);
      writeFileSync(rules, q.rules.map((parts) => parts.join(' ')).join('\n'));
      const all = everyPath(tree);
      const roots = [...(q.hasAll ? [tree] : []), ...q.roots.map((each) => join(tree, each)).filter((each) => all.includes(each))]; // prettier-ignore
      if (roots.length === 0) roots.push(tree);
      const inTree = (each: string) => bytePath(each.startsWith('/') ? `${tree}${each}` : each);
      const options = {
        excludes: q.excludes.map(inTree),
        includes: q.includes.map(inTree),
        ruleFiles: {
          rules: [bytePath(rules)],
          dirMerges: [Buffer.from('.r')],
          ignoreFiles: [Buffer.from('.gitignore')],
        },
        excludeIfPresent: [Buffer.from('.no')],
        excludeCaches: true,
        oneFileSystem: false,
      };
      await backup({ store, paths: roots.map(bytePath), ...options });
      const saved = new Set<string>();
      for await (const entry of ls({ store, snapshot: 'latest' })) saved.add(entry.path.toString());
      for (const each of everyPath(tree)) {
        const answer = why({
          path: bytePath(each),
          roots: roots.map(bytePath),
          ...options,
          ownPlaces: [store],
          report: silentReport,
        });
        const recorded = each === '/' ? '.' : each.slice(1);
        // What the first backup wrote is there now, and the next one would take it.
        if (/\/(?:restore\.sh|README\.txt)$/.test(each)) continue;
        asked++;
        const kind = `${answer.included} ${answer.reason.kind}`;
        kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
        const words = `${each}: ${JSON.stringify(answer.reason)} ${JSON.stringify(q)}`;
        t.is(answer.path.toString(), recorded);
        if (answer.included !== saved.has(recorded)) throw new Error(words);
      }
    }),
    { numRuns: 80 },
  );
  t.true(asked > 1000);
  t.log(Object.fromEntries(kinds));
  for (const kind of ['true named', 'true on-the-way', 'true rule', 'true include', 'false rule', 'false exclude', 'false own-file', 'false exclude-if-present', 'false exclude-caches', 'false outside']) {
    t.true(kinds.has(kind), kind);
  } // prettier-ignore
});

test('a path that is not there is no answer', (t) => {
  const base = tempDir(t);
  const none = { excludes: [], includes: [], ruleFiles: {}, excludeIfPresent: [] };
  const places = {
    excludeCaches: false,
    oneFileSystem: false,
    ownPlaces: [],
    report: silentReport,
  };
  const ask = (each: string, roots: readonly string[]) =>
    why({ path: bytePath(each), roots: roots.map((root) => bytePath(root)), ...none, ...places });
  for (const roots of [[], [base], [join(base, 'gone')]]) {
    const error = t.throws(() => ask(join(base, 'gone'), roots), { instanceOf: LbsError });
    t.is(error?.code, 'source-missing');
  }
  t.true(ask(base, [base]).included);
});
