/**
 * A directory of its own for each test, gone afterwards whatever the test put into it: hostile
 * modes, paths beyond PATH_MAX, mounted filesystems. LBS_KEEP=1 keeps it and prints where it is.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';

const MODE_OF_TEST_DIR = 0o755;

/** True when the tests run as root: only then can they make devices, mounts and other owners. */
export const isRoot = process.getuid?.() === 0;

/** A number that an ordinary user can have on every machine: `nobody`. */
export const ORDINARY_USER = 65534;

/** A new directory, absolute and without symlinks in its path; other users may enter it. */
export function tempDir(t: ExecutionContext): string {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), 'lbs-test-')));
  chmodSync(dir, MODE_OF_TEST_DIR);
  t.teardown(() => {
    if (process.env['LBS_KEEP'] === '1') t.log(`kept: ${dir}`);
    else removeTree(dir);
  });
  return dir;
}

/** Mount points at or below `dir`, innermost first. */
function mountsBelow(dir: string): string[] {
  const unescape = (text: string) =>
    text.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(parseInt(code, 8)));
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => unescape(line.split(' ')[1] ?? ''))
    .filter((place) => place === dir || place.startsWith(`${dir}/`))
    .sort((a, b) => b.length - a.length);
}

/** Removes a tree with `rm`, which walks by open directories and so has no limit on depth. */
export function removeTree(dir: string): void {
  for (const place of mountsBelow(dir)) spawnSync('umount', ['--lazy', place]);
  if (!isRoot) spawnSync('chmod', ['-R', 'u+rwx', dir]);
  const { status, stderr } = spawnSync('rm', ['-rf', '--one-file-system', '--', dir]);
  if (status !== 0) throw new Error(`cannot remove ${dir}: ${String(stderr)}`);
}

export type ImageOptions = {
  readonly sizeBytes?: number;
  /** Words for its mkfs. */
  readonly make?: readonly string[];
  /** As after `mount -o`. */
  readonly mount?: string;
};

const IMAGE_BYTES = 64 * 1024 * 1024;

/**
 * Makes a filesystem in a file (`place` with `.img` after it) and mounts it at `place`, which is
 * made. False, and the test's log names it, where this user or this kernel cannot.
 */
export function mountImage(
  t: ExecutionContext,
  type: string,
  place: string,
  options: ImageOptions = {},
): boolean {
  const { sizeBytes = IMAGE_BYTES, make = [], mount = 'rw' } = options;
  const image = `${place}.img`;
  mkdirSync(place, { recursive: true });
  writeFileSync(image, '');
  truncateSync(image, sizeBytes);
  const PATH = `${process.env['PATH']}:/usr/sbin:/sbin`;
  const run = (command: string, ...words: string[]) =>
    spawnSync(command, words, { stdio: 'pipe', env: { ...process.env, PATH } });
  const made = isRoot ? run(`mkfs.${type}`, ...make, image) : undefined;
  // Where the kernel has no exFAT, a program may.
  const isMounted = [type, `${type}-fuse`].some(
    (driver) =>
      made?.status === 0 &&
      run('mount', '-t', driver, '-o', `loop,${mount}`, image, place).status === 0,
  );
  if (!isMounted) t.log(`left out: no ${[type, ...make].join(' ')} can be mounted here`);
  return isMounted;
}

/** Mounts a small tmpfs; false where this user or container may not. */
export function mountTmpfs(place: string, sizeBytes: number): boolean {
  const options = `size=${sizeBytes},mode=0777`;
  return isRoot && spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'none', place]).status === 0;
}
