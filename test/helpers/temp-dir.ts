/**
 * A directory of its own for each test, gone afterwards whatever the test put into it: hostile
 * modes, paths beyond PATH_MAX, mounted filesystems. LBS_KEEP=1 keeps it and prints where it is.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, realpathSync } from 'node:fs';
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

/** Mounts a small tmpfs; false where this user or container may not. */
export function mountTmpfs(place: string, sizeBytes: number): boolean {
  const options = `size=${sizeBytes},mode=0777`;
  return isRoot && spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'none', place]).status === 0;
}
