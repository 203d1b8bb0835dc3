/**
 * Joins the modules of the program into one file, `dist/lbs.cjs`, which is what `bin/lbs` starts.
 *
 * Finding, checking and linking some 170 modules took the runtime longer than a backup of a small
 * tree takes: 235 ms of processor time, with one file 185. It is done on what the compiler itself
 * writes as CommonJS, so nothing is parsed here: a module becomes a function that is called when
 * the first one asks for it, and `require` of another module of ours the call of its function.
 *
 * The modules of `dist/` stay: for the library, and for threads, which find their file beside the
 * one that starts them. When `tsc` alone has run, they are newer, and `bin/lbs` starts with them.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const DIST = join(ROOT, 'dist');
/** Types were checked when `dist/` was made; what CommonJS cannot say is replaced below. */
const AS_COMMONJS =
  '--noCheck --module commonjs --moduleResolution bundler --verbatimModuleSyntax false --declaration false --sourceMap false --removeComments';

/** Packages are loaded as in any module; what was `import()` stays so, and gets what it got. */
const IMPORT_OF_PACKAGE =
  /Promise\.resolve\(\)\.then\(\(\) => __importStar\(require\((['"][^.'"][^'"]*['"])\)\)\)/g;
const REQUIRE_OF_OURS = /\brequire\((['"])(\.[^'"]*)\1\)/g;
const THIS_MODULE = /\bimport\.meta\b(\.url\b)?/g;

/** Modules in the order in which they are first named, each by its number. */
class Modules {
  readonly #dir: string;
  readonly #numbers = new Map<string, number>();
  readonly texts: string[] = [];

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** The number of a module, which is read, with all that it names, the first time. */
  add(file: string): number {
    const known = this.#numbers.get(file);
    if (known !== undefined) return known;
    const number = this.#numbers.size;
    this.#numbers.set(file, number);
    const place = JSON.stringify(relative(this.#dir, file));
    this.texts[number] = readFileSync(file, 'utf8')
      .replace(IMPORT_OF_PACKAGE, 'import($1)')
      .replace(THIS_MODULE, (_, url) =>
        url === undefined ? `{ url: urlOf(${place}) }` : `urlOf(${place})`,
      )
      .replace(
        REQUIRE_OF_OURS,
        (_, _quote: string, path: string) => `moduleOf(${this.add(join(dirname(file), path))})`,
      );
    return number;
  }
}

/** The whole text: `main` is the only module that waits for anything while it is loaded. */
function joined(modules: Modules): string {
  const [main = '', ...others] = modules.texts;
  const functions = others.map((text) => `(exports) => {\n${text}\n}`);
  return `'use strict';
const urlOf = (place) => require('node:url').pathToFileURL(__dirname + '/' + place).href;
const loaded = [];
const moduleOf = (number) => {
  if (loaded[number] === undefined) {
    loaded[number] = {};
    functions[number](loaded[number]);
  }
  return loaded[number];
};
const functions = [undefined,\n${functions.join(',\n')}];
// As the runtime does when nothing is left that could finish the main module.
process.exitCode = 13;
(async (exports) => {\n${main}\n})({});
`;
}

const scratch = mkdtempSync(join(DIST, '.bundle-'));
try {
  const words = ['-p', ROOT, ...AS_COMMONJS.split(' '), '--outDir', scratch];
  const { status } = spawnSync('tsc', words, { stdio: 'inherit' });
  if (status !== 0) throw new Error(`tsc ended with ${status}`);
  const modules = new Modules(scratch);
  modules.add(join(scratch, 'main.js'));
  writeFileSync(join(scratch, 'lbs.cjs'), joined(modules));
  renameSync(join(scratch, 'lbs.cjs'), join(DIST, 'lbs.cjs'));
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
