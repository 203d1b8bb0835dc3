/** bin/lbs itself: which Node it takes, and how it is reached. */
import { copyFileSync, existsSync, mkdirSync, rmSync, symlinkSync, utimesSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import test from 'ava';
import { COMMANDS } from '../../src/cli/options.ts';
import { lbsOk, PROJECT } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const PROGRAM = join(PROJECT, 'bin', 'lbs');
const INSTALLED_NODE = join(PROJECT, 'node_modules', 'node', 'bin', 'node');

test('help is shown for the program and for its commands', async (t) => {
  const run = await lbsOk(t, ['--help']);
  for (const { name } of COMMANDS) t.true(run.stdout.includes(name), name);
  // What each says is in help.ts; here that it is said, by the commands with most and least to say.
  for (const command of ['backup', 'hold']) {
    const help = await lbsOk(t, [command, '--help']);
    t.regex(help.stdout, /--config/);
    t.is(help.stderr, '');
  }
});

test('the version is told', async (t) => {
  const run = await lbsOk(t, ['--version']);
  t.regex(run.stdout, /\d+\.\d+\.\d+/);
});

test('it starts through links, from anywhere, with a Node that is too old on PATH', (t) => {
  if (!existsSync(INSTALLED_NODE)) return t.pass('Node was not installed by npm here');
  const dir = tempDir(t);
  const old = join(dir, 'old');
  mkdirSync(old);
  spawnSync('sh', ['-c', 'printf "#!/bin/sh\\necho v18.0.0\\n" > node && chmod 755 node'], {
    cwd: old,
  });
  symlinkSync(PROGRAM, join(dir, 'first'));
  symlinkSync('first', join(dir, 'second'));
  const { status, stderr } = spawnSync(join(dir, 'second'), ['--help'], {
    cwd: '/',
    env: { PATH: `${old}:/usr/bin:/bin`, HOME: dir },
  });
  t.is(status, 0, String(stderr));
});

test('the joined file is started, but not when the modules were built after it', (t) => {
  const dir = tempDir(t);
  const [main, joined] = [join(dir, 'dist', 'main.js'), join(dir, 'dist', 'joined', 'lbs.js')];
  makeFiles(dir, {
    'bin/': '',
    'dist/main.js': 'console.log("modules")',
    'dist/joined/lbs.js': 'console.log("joined")',
  });
  copyFileSync(PROGRAM, join(dir, 'bin', 'lbs'));
  const said = () => {
    const env = { PATH: `${dirname(process.execPath)}:/usr/bin:/bin`, HOME: dir };
    const { stdout, stderr } = spawnSync(join(dir, 'bin', 'lbs'), { env, encoding: 'utf8' });
    return `${stdout}${stderr}`;
  };
  // As npm unpacks them: all files have one time.
  utimesSync(main, 1000, 1000);
  utimesSync(joined, 1000, 1000);
  t.is(said(), 'joined\n');
  utimesSync(main, 2000, 2000);
  t.is(said(), 'modules\n');
  rmSync(joined);
  t.is(said(), 'modules\n');
  rmSync(main);
  t.regex(said(), /not built yet/);
});
