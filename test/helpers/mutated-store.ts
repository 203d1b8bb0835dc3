/** Runs of every command on stores of which some bytes were changed; `LBS_FUZZ_SEED` tells which. */
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { EnemyStore } from './enemy-store.ts';
import { HostedCommands } from './hosted-commands.ts';
import { pseudoRandom } from './pseudo-random.ts';
import { cleanEnvironment } from './run-lbs.ts';
import {
  attacked,
  type AttackOptions,
  EXIT_CODES,
  readingCommands,
  restoreAll,
  type Siege,
  siege,
  unsafePlace,
  untouched,
} from './siege.ts';

function write(store: string): void {
  const enemy = new EnemyStore().directory('.').directory('d', { xattrs: 'user.a=b' });
  for (let number = 0; number < 20; number++) enemy.file(`d/${number}`, `${number}`.repeat(300));
  enemy.link('l', 'd/1').entry('p', 'p').file('h', 'x', { inode: '1/1', links: '2' });
  enemy.file('i', 'x', { inode: '1/1', links: '2' }).write(store);
  writeFileSync(join(store, 'snapshot-20200101T000000.tag-good'), 'ann\n');
  writeFileSync(join(store, 'gc-33333333-3333-4333-8333-000000000001.condemned'), '# none\n');
}

/** What is done to the bytes of a file, by three random numbers. */
const CHANGES: readonly ((bytes: Buffer, place: number, value: number) => Buffer)[] = [
  (bytes, place, value) => {
    bytes.writeUInt8((bytes[place] ?? 0) ^ (1 << (value % 8)), place);
    return bytes;
  },
  (bytes, place, value) =>
    bytes.fill(value & 0xff, place, Math.min(place + (value % 700), bytes.length)),
  (bytes, place) => bytes.subarray(0, place),
  (bytes, place, value) =>
    Buffer.concat([bytes.subarray(0, place), bytes.subarray(place + (value % 600))]),
  (bytes, place, value) =>
    Buffer.concat([bytes.subarray(0, place), bytes.subarray(value % bytes.length)]),
  (bytes, place, value) => {
    const word = ['\n@', '/', '[', '99999999999', '\u001b[2J', '%00', '\0', ': '][value % 8] ?? '';
    bytes.write(word, place, 'latin1');
    return bytes;
  },
];

function changeSome(store: string, random: Buffer): void {
  const files = readdirSync(store).sort();
  for (let change = 0; change < 1 + ((random[0] ?? 0) & 3); change++) {
    const at = 1 + change * 16;
    const path = join(store, files[random.readUInt32LE(at) % files.length] ?? '');
    const bytes = readFileSync(path);
    if (bytes.length === 0) continue;
    const apply = CHANGES[random.readUInt32LE(at + 4) % CHANGES.length];
    const place = random.readUInt32LE(at + 8) % bytes.length;
    writeFileSync(path, apply?.(bytes, place, random.readUInt32LE(at + 12)) ?? bytes);
  }
  if (((random[65] ?? 0) & 31) === 0) truncateSync(join(store, files[0] ?? ''), 2 ** 33);
}

/** Every command, those that write to the store as well. */
function commands(at: Siege): readonly (readonly [string[], AttackOptions])[] {
  const store = `--store=${at.store}`;
  const second = join(at.base, 'second');
  const contents = { givesContents: true };
  return [
    ...readingCommands(at),
    [['cat', store, 'latest', 'd/7'], contents],
    [['stanza', store, 'latest', 'd/7'], contents],
    [['diff', store, 'latest', at.outside], {}],
    [['history', store, 'd/7'], {}],
    [restoreAll(at, '--delete'), {}],
    [['sync', at.store, second], {}],
    [['rebuild', store, `--localdb=${at.localdb}`], {}],
    [['tag', store, 'latest', 'more'], {}],
    [['heal', store, `--from=${second}`], {}],
    [['repair', store], {}],
    [['forget', store, '--keep-last=1'], {}],
    [['gc', store, '--grace=0s'], {}],
    [['gc', store, '--grace=0s'], {}],
  ];
}

/** Puts a store with some changed bytes in its place, with nothing else there. */
function renew(at: Siege, right: string, seed: string): void {
  const second = join(at.base, 'second');
  for (const dir of [at.store, second, at.target]) rmSync(dir, { recursive: true, force: true });
  mkdirSync(second);
  cpSync(right, at.store, { recursive: true });
  changeSome(at.store, pseudoRandom(seed, 80));
}

/** Changes a store `rounds` times and gives each `runs` commands, one after the other. */
export async function attackWithMutations(
  t: ExecutionContext,
  { seed, rounds, runs }: { readonly seed: string; readonly rounds: number; readonly runs: number },
): Promise<number> {
  const at = siege(t);
  const right = join(at.base, 'tree');
  write(right);
  let count = 0;
  for (let round = 0; round < rounds; round++) {
    renew(at, right, `${seed} ${round}`);
    const all = commands(at);
    for (let run = 0; run < runs; run++) {
      // Others in each round, so that in many all of them have their turn.
      const [args, options] = all[(round * runs + run) % all.length] ?? [[], {}];
      await attacked(t, at, args, options);
      count++;
      if (!t.passed)
        throw new Error(`LBS_FUZZ_SEED=${JSON.stringify(seed)}, round ${round}: ${args.join(' ')}`);
    }
  }
  return count;
}

/**
 * All commands, on as many changed stores as there is time for, in one process: `seconds` long, or
 * one store. Counts stores and commands.
 */
export async function attackInOneProcess(
  t: ExecutionContext,
  { seed, seconds }: { readonly seed: string; readonly seconds: number },
): Promise<{ stores: number; commands: number }> {
  const at = siege(t);
  const right = join(at.base, 'tree');
  write(right);
  const hosted = new HostedCommands(cleanEnvironment(t));
  t.teardown(() => hosted.close());
  const end = Date.now() + seconds * 1000;
  let stores = 0;
  do {
    // So that the seed of a failure gives its store first.
    const name = stores++ === 0 ? seed : `${seed} ${stores}`;
    renew(at, right, name);
    rmSync(at.localdb, { recursive: true, force: true });
    for (const [words, { givesContents = false }] of commands(at)) {
      const shown = `LBS_FUZZ_SEED=${JSON.stringify(name)}: lbs ${words.join(' ')}`;
      try {
        const run = await hosted.run(words);
        const said = `${shown}: ${run.code}\n${run.stdout.slice(0, 2000)}${run.stderr}`;
        t.true(EXIT_CODES.has(run.code), said);
        t.false(run.stderr.includes('unexpected error'), said);
        const screen = givesContents ? run.stderr : run.stderr + run.stdout;
        t.is(unsafePlace(Buffer.from(screen, 'latin1').toString()), undefined, said);
      } catch (error) {
        t.fail(`${shown}: ${String(error)}`);
        hosted.close();
      }
    }
    untouched(t, at);
  } while (Date.now() < end && t.passed);
  return { stores, commands: hosted.count };
}
