/** bin/lbs itself: which Node it takes, and how it is reached. */
import { existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import test from 'ava';
import { COMMANDS } from '../../src/cli/options.ts';
import { lbsOk, PROJECT } from '../helpers/run-lbs.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const PROGRAM = join(PROJECT, 'bin', 'lbs');
const INSTALLED_NODE = join(PROJECT, 'node_modules', 'node', 'bin', 'node');

test('help is shown for the program and for each command', async (t) => {
  const run = await lbsOk(t, ['--help']);
  for (const command of COMMANDS.map(({ name }) => name)) {
    t.true(run.stdout.includes(command), command);
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
