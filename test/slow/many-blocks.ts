/** Files of more blocks than a snapshot could list if they were cut as others are. */
import { spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdirSync, openSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { backupOptions, type Places, places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { lbsOk } from '../helpers/run-lbs.ts';

const PAGE = Buffer.alloc(4096, 1);
const STRETCHES = 500_000;
const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

function write(at: Places, fill: (fd: number) => void): void {
  mkdirSync(at.tree, { recursive: true });
  const fd = openSync(join(at.tree, 'file'), 'w');
  fill(fd);
  closeSync(fd);
}

async function comesBack(t: ExecutionContext, at: Places): Promise<void> {
  const timeoutMs = 50 * 60_000;
  await lbsOk(t, ['-q', ...backupOptions(at), '.'], { cwd: at.tree, timeoutMs });
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data'], { timeoutMs });
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target], { timeoutMs });
  const compared = spawnSync('cmp', [join(at.tree, 'file'), join(at.target, 'file')]);
  t.is(compared.status, 0, String(compared.stderr));
}

test('half a million stretches between holes come back, with fewer holes', async (t) => {
  const at = places(t);
  write(at, (fd) => {
    for (let n = 0; n < STRETCHES; n++) writeSync(fd, PAGE, 0, PAGE.length, 2 * n * PAGE.length);
    ftruncateSync(fd, 2 * STRETCHES * PAGE.length + 100 * MIB);
  });
  await comesBack(t, at);
  const { blocks, size } = statSync(join(at.target, 'file'));
  t.true(blocks * 512 <= size - 90 * MIB, 'the large hole at the end is one');
});

test('half a million runs of zeros in between come back', async (t) => {
  const at = places(t);
  const bytes = Buffer.alloc(64 * 1024 + 1);
  bytes[bytes.length - 1] = 1;
  write(at, (fd) => {
    for (let n = 0; n < 300_000; n++) writeSync(fd, bytes);
  });
  await comesBack(t, at);
});

test('a file of 260 GiB, most of it a hole, has blocks of 4 MiB and comes back', async (t) => {
  const at = places(t);
  const data = pseudoRandom('huge', 21 * MIB);
  write(at, (fd) => {
    ftruncateSync(fd, 260 * GIB);
    for (const start of [0, 100 * GIB + 4096, 260 * GIB - data.length]) {
      writeSync(fd, data, 0, data.length, start);
    }
  });
  await comesBack(t, at);
  t.true(statSync(join(at.target, 'file')).blocks * 512 < 100 * MIB);
});
