import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { LbsError, exitCodeOf } from '../../src/errors.ts';
import { checkUnlocked, lockLocaldb } from '../../src/localdb/lock.ts';
import { PROJECT } from '../helpers/run-lbs.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const LOCK_FILE = 'lbs-localdb.lock';

/** Another process that holds the lock when this resolves. */
async function holder(t: ExecutionContext, directory: string): Promise<ChildProcess> {
  const module = join(PROJECT, 'src', 'localdb', 'lock.ts');
  const script = `import { lockLocaldb } from ${JSON.stringify(module)};
    lockLocaldb(${JSON.stringify(directory)});
    console.log('locked');
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return child;
}

function refused(t: ExecutionContext, take: () => unknown): LbsError {
  const error = t.throws(take, { instanceOf: LbsError });
  if (error === undefined) throw new Error('it was taken');
  t.is(error.code, 'localdb-locked');
  return error;
}

test('a second process is told who holds the lock', async (t) => {
  const directory = tempDir(t);
  const child = await holder(t, directory);
  for (const take of [lockLocaldb, checkUnlocked]) {
    const error = refused(t, () => take(directory));
    t.true(error.message.includes(directory));
    t.regex(error.message, new RegExp(`process ${child.pid} on .*, since \\d{4}-\\d\\d-\\d\\d`));
    t.regex(error.hint ?? '', /--localdb/);
    t.is(exitCodeOf(error), 11);
  }
});

test('a holder that was killed does not block anybody', async (t) => {
  const directory = tempDir(t);
  const child = await holder(t, directory);
  refused(t, () => lockLocaldb(directory));
  child.kill('SIGKILL');
  await once(child, 'exit');
  checkUnlocked(directory).release();
  const lock = lockLocaldb(directory);
  t.regex(readFileSync(join(directory, LOCK_FILE), 'utf8'), new RegExp(`process ${process.pid} `));
  lock.release();
});

test('a lock that was released can be taken again, and names nobody', (t) => {
  const directory = join(tempDir(t), 'made', 'here');
  for (let round = 0; round < 3; round++) {
    const lock = lockLocaldb(directory);
    refused(t, () => lockLocaldb(directory));
    lock.release();
    t.is(readFileSync(join(directory, LOCK_FILE), 'utf8'), '');
  }
  t.is(statSync(join(directory, LOCK_FILE)).mode & 0o777, 0o600);
});

test('a check leaves no trace', (t) => {
  const directory = tempDir(t);
  checkUnlocked(directory).release();
  checkUnlocked(join(directory, 'absent')).release();
  t.deepEqual(readdirSync(directory), []);
});

test('what stands in the file cannot write to the terminal', (t) => {
  const directory = tempDir(t);
  const lock = lockLocaldb(directory);
  writeFileSync(join(directory, LOCK_FILE), '\x1b[31mred\x07');
  t.notRegex(refused(t, () => lockLocaldb(directory)).message, /[\x00-\x1f]/); // eslint-disable-line no-control-regex
  writeFileSync(join(directory, LOCK_FILE), '');
  t.regex(refused(t, () => lockLocaldb(directory)).message, /unknown process/);
  lock.release();
});

test('a place that cannot be used is an error with a way out', (t) => {
  const directory = tempDir(t);
  writeFileSync(join(directory, 'file'), '');
  const error = t.throws(() => lockLocaldb(join(directory, 'file', 'x')), { instanceOf: LbsError });
  t.is(error?.code, 'io');
  t.regex(error?.hint ?? '', /--localdb/);
});
