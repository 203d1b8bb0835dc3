/**
 * The manual pages: well formed, complete, and in step with `lbs COMMAND --help`, option for
 * option and exit code for exit code. The built program is asked, as a person would.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { CONFIG_KEYS } from '../../src/cli/config-file.ts';
import { PROJECT, lbsOk } from '../helpers/run-lbs.ts';

const MAN = join(PROJECT, 'man');
const PAGES = readdirSync(MAN).sort();
const COMMANDS = [
  'backup',
  'cat',
  'clean',
  'compact',
  'compare',
  'diff',
  'dump',
  'find',
  'forget',
  'gc',
  'heal',
  'history',
  'hold',
  'list',
  'ls',
  'parity',
  'prune',
  'rebuild',
  'release',
  'repair',
  'restore',
  'stanza',
  'sync',
  'tag',
  'usage',
  'verify',
  'why',
];
const hasMandoc = spawnSync('mandoc', [join(MAN, 'lbs.1')]).status === 0;

const source = (page: string) => readFileSync(join(MAN, page), 'utf8');

/** Every spelling of an option in an `.It` line: `-x`, `--exclude=PATTERN`. */
function optionsOfPage(text: string): string[] {
  const spellings: string[] = [];
  for (const line of text.split('\n')) {
    if (!/^\.It (?:Fl|Op) /.test(line)) continue;
    // `Fl` is a dash before each of its words: `.It Fl -progress , -no-progress`.
    for (const part of line
      .replace(/^\.It Fl /, '')
      .replaceAll('Fl ', '')
      .split(' , ')) {
      spellings.push(`-${part.replace(' Ns = Ns Ar ', '=')}`);
    }
  }
  return spellings.sort();
}

/** Every spelling of an option at the start of a line of `--help`. */
function optionsOfHelp(text: string): string[] {
  const spellings: string[] = [];
  for (const line of text.split('\n')) {
    const words = /^ {2}(-\S+(?:, -\S+)*)(?: {2}|$)/.exec(line)?.[1];
    if (words !== undefined) spellings.push(...words.split(', '));
  }
  return spellings.sort();
}

/** Numbers that are said to be used where an option is not given. */
function defaultsOf(text: string): string[] {
  return [...text.matchAll(/default: (\d+\w*)/g)].map((match) => match[1] ?? '').sort();
}

function exitCodesOfPage(text: string): string[] {
  const section = /^\.Sh EXIT STATUS\n([^]*?)^\.El/m.exec(text)?.[1] ?? '';
  return [...section.matchAll(/^\.It (\d+)$/gm)].map((match) => match[1] ?? '');
}

function exitCodesOfHelp(text: string): string[] {
  const section = /^Exit codes:\n([^]*?)\n\n/m.exec(text)?.[1] ?? '';
  return [...section.matchAll(/^ +(\d+) {2}/gm)].map((match) => match[1] ?? '');
}

for (const page of PAGES) {
  test(`mandoc finds nothing to say about ${page}`, (t) => {
    if (!hasMandoc) {
      t.log('left out: mandoc is not installed');
      t.pass();
      return;
    }
    const { status, stdout } = spawnSync('mandoc', ['-T', 'lint', '-W', 'warning', page], {
      cwd: MAN,
      encoding: 'utf8',
    });
    t.is(stdout, '');
    t.is(status, 0);
  });

  test(`${page} refers only to pages that exist`, (t) => {
    for (const [, name, section] of source(page).matchAll(/^\.Xr (lbs\S*) (\d)/gm)) {
      t.true(PAGES.includes(`${name}.${section}`), `${name}(${section})`);
    }
    t.regex(source(page), /^\.Sh SEE ALSO$/m);
  });
}

for (const command of COMMANDS) {
  test(`lbs-${command}(1) and "lbs ${command} --help" have the same options`, async (t) => {
    const help = (await lbsOk(t, [command, '--help'])).stdout;
    const page = source(`lbs-${command}.1`);
    t.true(optionsOfHelp(help).length > 5, help);
    t.deepEqual(optionsOfPage(page), optionsOfHelp(help));
    t.deepEqual(defaultsOf(page), defaultsOf(help));
  });

  test(`lbs-${command}(1) and "lbs ${command} --help" have the same exit codes`, async (t) => {
    const help = (await lbsOk(t, [command, '--help'])).stdout;
    t.deepEqual(exitCodesOfPage(source(`lbs-${command}.1`)), exitCodesOfHelp(help));
  });
}

test('lbs(1) and "lbs --help" have the same commands and exit codes', async (t) => {
  const help = (await lbsOk(t, ['--help'])).stdout;
  for (const command of COMMANDS) t.regex(help, new RegExp(`^ {2}${command} `, 'm'));
  const listed = [...source('lbs.1').matchAll(/^\.It Cm (\w+)\n.*\n\.Xr lbs-\1 1/gm)];
  t.deepEqual(listed.map((match) => match[1]).sort(), [...COMMANDS].sort());
  t.deepEqual(exitCodesOfPage(source('lbs.1')), exitCodesOfHelp(help));
});

test('lbs(1) lists every key that a configuration file may have', (t) => {
  const section = /^\.Sh CONFIGURATION\n([^]*?)^\.Sh /m.exec(source('lbs.1'))?.[1] ?? '';
  const list = /^\.Bl ([^]*?)^\.El/m.exec(section)?.[1] ?? '';
  const words = [...list.matchAll(/(?:Cm|or Cm) ([a-z-]+)/g)].map((match) => match[1] ?? '');
  const keys = words.filter((word) => !['yes', 'no', 'dest'].includes(word));
  t.deepEqual(keys.sort(), [...CONFIG_KEYS].sort());
});

test('package.json names every page, so that installing the package installs them all', (t) => {
  const { man }: { man: string[] } = JSON.parse(
    readFileSync(join(PROJECT, 'package.json'), 'utf8'),
  );
  t.deepEqual(
    [...man].sort(),
    PAGES.map((page) => `man/${page}`),
  );
});
