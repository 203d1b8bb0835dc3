/** What the built program says about itself, and what it does before any store is opened. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { COMMANDS, optionsOf } from '../../src/cli/options.ts';
import { jsonMessage, lbsExits, lbsOk, PROJECT, startLbs } from '../helpers/run-lbs.ts';
import { tempDir } from '../helpers/temp-dir.ts';

test('help is complete, fits 80 columns and goes to standard output', async (t) => {
  const program = await lbsOk(t, ['--help']);
  t.is(program.stderr, '');
  t.is((await lbsOk(t, ['help'])).stdout, program.stdout);
  for (const command of COMMANDS) {
    const { stdout } = await lbsOk(t, [command.name, '--help']);
    t.true(program.stdout.includes(command.summary));
    t.true(stdout.startsWith(`Usage: lbs ${command.name} `));
    for (const option of optionsOf(command))
      t.true(stdout.includes(`--${option.name}`), option.name);
    for (const heading of ['Exit codes:', 'Example:']) t.true(stdout.includes(`\n${heading}\n`));
    for (const line of stdout.split('\n')) t.true(line.length < 80, line);
  }
  for (const line of program.stdout.split('\n')) t.true(line.length < 80, line);
  const hold = await lbsOk(t, ['hold', '--help']);
  t.is((await lbsOk(t, ['help', 'hold'])).stdout, hold.stdout);
});

test('--help wins over whatever else is on the command line', async (t) => {
  const { stdout } = await lbsOk(t, ['--dest=/nowhere', '/nothing', '-h']);
  t.true(stdout.startsWith('Usage: lbs backup '));
});

test('help about what there is not is refused', async (t) => {
  t.regex((await lbsExits(t, 2, ['help', 'frobnicate'])).stderr, /no command "frobnicate"/);
});

test('--version names program and runtime', async (t) => {
  const { version }: { version: string } = JSON.parse(
    readFileSync(join(PROJECT, 'package.json'), 'utf8'),
  );
  t.is((await lbsOk(t, ['--version'])).stdout.split(' (')[0], `lbs ${version}`);
});

test('an error is a line of its own with a hint below it, and JSON when that was asked for', async (t) => {
  const text = await lbsExits(t, 2, ['list']);
  t.regex(text.stderr, /^lbs: no store given: .*\n {5}for example: lbs list --store=.*\n$/);
  t.is(text.stdout, '');
  const json = await lbsExits(t, 2, ['list', '--json']);
  const message = jsonMessage(json, 'exit_error');
  t.is(message['code'], 2);
  t.regex(String(message['message']), /no store given/);
});

test('the configuration and the environment can name the store', async (t) => {
  const absent = join(tempDir(t), 'absent');
  const fromEnv = await lbsExits(t, 10, ['list'], { env: { LBS_STORE: absent } });
  t.true(fromEnv.stderr.includes(absent));
  const broken = await lbsExits(t, 2, ['list', '--config=/nowhere/at/all']);
  t.regex(broken.stderr, /\/nowhere\/at\/all: no such configuration file/);
});

test('an argument that is not UTF-8 arrives as it is', async (t) => {
  const scheme = await lbsExits(t, 2, ['--dest=/nowhere', '--scheme', Buffer.from([0xff]), '.']);
  t.regex(scheme.stderr, /--scheme is not UTF-8 text/);
  const option = await lbsExits(t, 2, [Buffer.from('--caf\xe9', 'latin1')]);
  t.regex(option.stderr, /unknown option --caf\\xe9/);
});

test('a reader that goes away is not an error', async (t) => {
  const running = startLbs(t, ['backup', '--help']);
  running.child.stdout?.destroy();
  const { code, stderr } = await running.done;
  t.is(code, 0);
  t.is(stderr, '');
});
