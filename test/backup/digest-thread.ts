/** The thread for checksums: right, in order, no hindrance to ending, and no hidden failure. */
import { spawn } from 'node:child_process';
import { hash } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import test from 'ava';
import { DigestThread } from '../../src/backup/digest-thread.ts';
import { SideThread } from '../../src/backup/side-thread.ts';
import { backupOptions, places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { startLbs } from '../helpers/run-lbs.ts';
import { waitUntil } from '../helpers/small-tree.ts';

const MIB = 1024 * 1024;

/** Shared memory with this content, and a thread that hashes there. */
function shared(content: Buffer) {
  const buffer = new SharedArrayBuffer(content.length);
  const memory = Buffer.from(buffer);
  content.copy(memory);
  const side = new SideThread();
  return { memory, side, thread: new DigestThread(side, buffer) };
}

function digestsOf(content: Buffer) {
  return { sha1: hash('sha1', content), sha256: hash('sha256', content) };
}

test('pieces and zeros are hashed in order', async (t) => {
  const content = pseudoRandom('pieces', 3 * MIB);
  const { memory, side, thread } = shared(content);
  const digests = await thread.begin();
  await digests.update(memory.subarray(0, MIB));
  await digests.zeros(2 * MIB + 3);
  await digests.update(memory.subarray(MIB, 2 * MIB));
  await digests.update(memory.subarray(2 * MIB));
  const zeros = Buffer.alloc(2 * MIB + 3);
  const all = Buffer.concat([content.subarray(0, MIB), zeros, content.subarray(MIB)]);
  t.deepEqual(await digests.finish(), digestsOf(all));
  t.deepEqual(await (await thread.begin()).finish(), digestsOf(Buffer.alloc(0)));
  await side.close();
});

test('a file that is given up leaves nothing in the next one', async (t) => {
  const content = pseudoRandom('given up', 2 * MIB);
  const { memory, side, thread } = shared(content);
  const first = await thread.begin();
  await first.update(memory.subarray(0, MIB));
  await first.update(memory.subarray(MIB));
  const second = await thread.begin();
  memory.fill('x');
  await second.update(memory);
  t.deepEqual(await second.finish(), digestsOf(Buffer.alloc(2 * MIB, 'x')));
  await side.close();
});

test('memory is not in use any more when there is room', async (t) => {
  const { memory, side, thread } = shared(Buffer.alloc(16 * MIB));
  const windows = [memory.subarray(0, 8 * MIB), memory.subarray(8 * MIB)];
  const digests = await thread.begin();
  const expected: Buffer[] = [];
  for (let turn = 0; turn < 6; turn++) {
    const window = windows[turn % 2] ?? memory;
    await digests.room();
    window.fill(turn);
    expected.push(Buffer.from(window));
    await digests.update(window);
  }
  t.deepEqual(await digests.finish(), digestsOf(Buffer.concat(expected)));
  await side.close();
});

test('a thread that has ended is a failure, and nobody waits for it', async (t) => {
  const { memory, side, thread } = shared(Buffer.alloc(MIB));
  const digests = await thread.begin();
  // Many minutes of it, so that it cannot be done before the thread is ended.
  await digests.zeros(1_000_000 * MIB);
  const finished = digests.finish();
  await Promise.all([
    t.throwsAsync(finished, { code: 'internal', message: /^the thread beside the run failed: / }),
    side.close(),
  ]);
  await t.throwsAsync(digests.update(memory), { code: 'internal' });
  await t.throwsAsync(thread.begin(), { code: 'internal' });
});

test('a thread without work does not keep the process alive, one with work does', async (t) => {
  const urlOf = (name: string) => new URL(`../../src/backup/${name}.ts`, import.meta.url).href;
  const script = `
    const { DigestThread } = await import('${urlOf('digest-thread')}');
    const { SideThread } = await import('${urlOf('side-thread')}');
    const thread = new DigestThread(new SideThread(), new SharedArrayBuffer(10));
    const digests = await thread.begin();
    await digests.zeros(10);
    console.log((await digests.finish()).sha1);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script]);
  t.teardown(() => child.kill('SIGKILL'));
  let said = '';
  child.stdout.on('data', (data: Buffer) => (said += data.toString()));
  const code = await new Promise((resolve) => child.on('close', resolve));
  t.is(code, 0);
  t.is(said, `${hash('sha1', Buffer.alloc(10))}\n`);
});

/** True while a process has the file open. */
function hasOpen(pid: number | undefined, path: string): boolean {
  const dir = `/proc/${pid}/fd`;
  return readdirSync(dir).some((fd) => {
    try {
      return readlinkSync(join(dir, fd)) === path;
    } catch {
      // Closed meanwhile.
      return false;
    }
  });
}

test('a run that is interrupted within a large file ends tidily', async (t) => {
  const at = places(t);
  const path = join(at.tree, 'sparse');
  const file = openSync(path, 'w');
  // Hashing this takes many minutes.
  ftruncateSync(file, 1_000_000 * MIB);
  closeSync(file);
  const running = startLbs(t, [...backupOptions(at), '.'], { cwd: at.tree });
  await waitUntil(() => hasOpen(running.child.pid, path), 'the run to come to the file');
  // By then it hashes, most likely.
  await setTimeout(500);
  running.child.kill('SIGINT');
  const run = await running.done;
  t.is(run.code, 130, run.stderr);
});
