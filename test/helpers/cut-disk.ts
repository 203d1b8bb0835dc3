/**
 * A disk whose power can be cut: a filesystem on a loop device over a file in memory. What the file
 * holds is what has reached the device; the rest is in the caches of the kernel, as it is when the
 * power goes. A copy of the file, mounted, is the machine after that.
 *
 * Filesystems are told to write nothing by time (`commit`); where they cannot be told, they begin
 * after 30 seconds. The device itself loses nothing that it was given: a disk with a cache of its own
 * that lies, or one that writes in another order between two flushes, is not what this is.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { isRoot } from './temp-dir.ts';

const MIB = 1024 * 1024;

type Filesystem = {
  readonly sizeBytes: number;
  /** Words for its mkfs: nothing is left to be done in the background. */
  readonly make: readonly string[];
  readonly mount: string;
};

export const FILESYSTEMS = {
  ext4: {
    sizeBytes: 64 * MIB,
    make: ['-q', '-E', 'lazy_itable_init=0,lazy_journal_init=0'],
    mount: 'loop,commit=600,noinit_itable',
  },
  // The smallest that its mkfs makes.
  xfs: { sizeBytes: 300 * MIB, make: ['-q'], mount: 'loop' },
  btrfs: { sizeBytes: 128 * MIB, make: ['-q', '--mixed'], mount: 'loop,commit=600' },
} as const satisfies Record<string, Filesystem>;
export type FilesystemName = keyof typeof FILESYSTEMS;

const UNMOUNT_TRIES = 50;

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

function run(command: string, ...words: string[]): string | undefined {
  const PATH = `${process.env['PATH']}:/usr/sbin:/sbin`;
  const { status, error, stderr } = spawnSync(command, words, {
    encoding: 'utf8',
    env: { ...process.env, PATH },
  });
  return status === 0 ? undefined : `${command}: ${error?.message ?? stderr}`;
}

function mustRun(command: string, ...words: string[]): void {
  const trouble = run(command, ...words);
  if (trouble !== undefined) throw new Error(trouble);
}

export class CutDisk {
  /** Where it is mounted. */
  readonly place: string;
  readonly #type: FilesystemName;
  readonly #image: string;
  readonly #copies: string;

  private constructor(base: string, type: FilesystemName) {
    this.place = join(base, 'disk');
    this.#type = type;
    this.#image = join(base, 'image');
    this.#copies = join(base, 'copies');
  }

  /** A new one, mounted below `base`, which is made; or why there can be none here. */
  static make(base: string, type: FilesystemName): CutDisk | string {
    if (!isRoot) return 'only root can mount';
    const disk = new CutDisk(base, type);
    mkdirSync(disk.place, { recursive: true });
    mkdirSync(disk.#copies);
    writeFileSync(disk.#image, '');
    truncateSync(disk.#image, FILESYSTEMS[type].sizeBytes);
    return run(`mkfs.${type}`, ...FILESYSTEMS[type].make, disk.#image) ?? disk.#mount(disk.#image) ?? disk; // prettier-ignore
  }

  #mount(image: string): string | undefined {
    return run('mount', '-t', this.#type, '-o', FILESYSTEMS[this.#type].mount, image, this.place);
  }

  /** Everything so far is on the device from now on. */
  sync(): void {
    mustRun('sync', '-f', this.place);
  }

  /** Counts of what the device has written; others than before when it has written anything. */
  written(): string {
    const line = readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .find((text) => text.split(' ')[1] === this.place);
    const device = basename(line?.split(' ')[0] ?? '');
    const counts = () => readFileSync(`/sys/block/${device}/stat`, 'utf8').trim().split(/ +/);
    // Reads and their times come first, writes follow; then what is under way.
    for (;;) {
      const [, , , , writes, , sectors, , underWay] = counts();
      if (underWay === '0') return `${writes} ${sectors}`;
      spawnSync('sleep', ['0.01']);
    }
  }

  /** Keeps what the device holds now. */
  keepAs(name: string): void {
    const to = join(this.#copies, name);
    mustRun('cp', '--sparse=always', '--reflink=never', this.#image, to);
  }

  /** Puts what was kept in place of the disk, as after a start of the machine. */
  startWith(name: string): void {
    const trouble = this.#mount(join(this.#copies, name));
    if (trouble !== undefined) throw new Error(`${name} cannot be mounted: ${trouble}`);
  }

  async unmount(): Promise<void> {
    for (let tries = 0; ; tries++) {
      // Stores that this process has looked into are closed when they are collected.
      collectGarbage();
      await setTimeout(20);
      const trouble = run('umount', this.place);
      if (trouble === undefined) return;
      if (tries === UNMOUNT_TRIES) throw new Error(trouble);
    }
  }

  drop(name: string): void {
    rmSync(join(this.#copies, name), { force: true });
  }
}
