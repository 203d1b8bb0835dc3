/** Restores into a target in which somebody exchanges names for links all the time. */
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { EnemyStore } from './enemy-store.ts';
import { attacked, restoreAll, siege } from './siege.ts';

const FILES = 40;
const DIRECTORIES = ['d', 'd/e', 'd/e/f'];
/** Each way writes, replaces, deletes or keeps in another order. */
const WAYS = [
  ['--overwrite=always'],
  ['--overwrite=if-changed', '--delete'],
  ['--overwrite=if-newer'],
  ['--overwrite=never'],
];

function store(place: string, generation: number): void {
  const enemy = new EnemyStore().directory('.');
  for (const path of DIRECTORIES) {
    enemy.directory(path, { mode: generation % 2 === 0 ? '0777' : '0700' });
    for (let number = 0; number < FILES; number++) {
      enemy.file(`${path}/${number}`, `${generation} ${number} ${'x'.repeat(number * 100)}`, {
        mode: '4777',
        xattrs: 'user.race=lost',
      });
    }
    enemy.link(`${path}/link`, `../${generation}`).entry(`${path}/fifo`, 'p', { mode: '0666' });
    enemy.directory(`${path}/dir`).file(`${path}/dir/file`, `evil ${generation}`, enemy.hard);
    enemy.file(`${path}/second`, `evil ${generation}`, enemy.hard);
  }
  enemy.write(place);
}

/** Goes on until `exchanges` were made in all, or `restores`, whichever takes longer; both. */
export async function raceWithSwaps(
  t: ExecutionContext,
  wanted: { readonly exchanges: number; readonly restores: number },
): Promise<{ readonly exchanges: number; readonly restores: number }> {
  const at = siege(t);
  const standIns = join(at.base, 'stand-ins');
  mkdirSync(standIns);
  store(at.store, 0);
  await attacked(t, at, restoreAll(at));
  const { outside } = at;
  const swaps = [
    ...DIRECTORIES.map((path) => `${path}=${outside}`),
    `d/dir=${join(outside, 'dir')}`,
    `d/1=${join(outside, 'file')}`,
    `d/e/2=${join(outside, 'fifo')}`,
    `d/e/fifo=${join(outside, 'fifo')}`,
    `d/e/f/3=${join(outside, 'no such')}`,
    `d/e/f/link=${outside}`,
  ];
  let exchanges = 0;
  let restores = 0;
  while (exchanges < wanted.exchanges || restores < wanted.restores) {
    store(at.store, restores);
    const script = join(import.meta.dirname, 'swap-names.ts');
    const swapper = spawn(process.execPath, [script, standIns, at.target, ...swaps]);
    let said = '';
    swapper.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()));
    const ended = new Promise((resolve) => swapper.on('close', resolve));
    try {
      await attacked(t, at, restoreAll(at, ...(WAYS[restores % WAYS.length] ?? [])));
      restores++;
    } finally {
      swapper.kill('SIGTERM');
      await ended;
    }
    exchanges += Number(said);
  }
  return { exchanges, restores };
}
