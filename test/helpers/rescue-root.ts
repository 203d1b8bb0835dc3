/**
 * The root of a machine that has no Node: the programs of a rescue disk with their libraries, and
 * nothing else. What runs in it by chroot can need nothing that is not named here.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs'; // prettier-ignore
import { dirname, join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { isRoot, ORDINARY_USER, tempDir } from './temp-dir.ts';

/** What restore.sh is said to need (lbs-recovery(7)), as packages of their own. */
const GNU_PROGRAMS = 'awk cat find grep head id ls mkdir mv od rm sed sh sha1sum sha224sum sha256sum sort tail tar tr wc xargs'; // prettier-ignore

export type RescueRoot = {
  readonly dir: string;
  /** Runs a program in it, with the root as its working directory. */
  run(
    args: readonly string[],
    user?: 'ordinary',
  ): { readonly code: number | null; readonly output: string };
};

function pathOf(program: string): string | undefined {
  const { stdout } = spawnSync('/bin/sh', ['-c', `command -v ${program}`], {
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    encoding: 'utf8',
  });
  return stdout.trim() === '' ? undefined : stdout.trim();
}

/** Copies a program, under the name that it is called by, with the libraries it is linked to. */
function addProgram(root: string, program: string): void {
  const path = pathOf(program);
  if (path === undefined) throw new Error(`${program} is not installed`);
  copyFileSync(realpathSync(path), join(root, 'bin', program));
  chmodSync(join(root, 'bin', program), 0o755);
  const { stdout } = spawnSync('ldd', [path], { encoding: 'utf8' });
  for (const [, library = ''] of stdout.matchAll(/(\/\S+) \(0x/g)) {
    const place = join(root, library);
    if (existsSync(place)) continue;
    mkdirSync(dirname(place), { recursive: true });
    copyFileSync(library, place);
    chmodSync(place, 0o755);
  }
}

function addBusybox(root: string): void {
  addProgram(root, 'busybox');
  const busybox = join(root, 'bin', 'busybox');
  const { stdout } = spawnSync(busybox, ['--list'], { encoding: 'utf8' });
  for (const applet of stdout.split('\n').filter((name) => name !== '' && name !== 'busybox')) {
    symlinkSync('busybox', join(root, 'bin', applet));
  }
}

function addDevices(root: string): void {
  mkdirSync(join(root, 'dev'));
  for (const [name, minor] of [
    ['null', '3'],
    ['urandom', '9'],
  ] as const) {
    const run = spawnSync('mknod', ['-m', '666', join(root, 'dev', name), 'c', '1', minor]);
    if (run.status !== 0) throw new Error(String(run.stderr));
  }
}

/**
 * A root with these programs beside the usual ones (GNU's, or those of one busybox); undefined,
 * after saying why, where the tests cannot make one.
 */
export function rescueRoot(
  t: ExecutionContext,
  kind: 'gnu' | 'busybox',
  programs: readonly string[],
): RescueRoot | undefined {
  const without = [...programs, ...(kind === 'busybox' ? ['busybox'] : [])].filter(
    (program) => pathOf(program) === undefined,
  );
  if (!isRoot || without.length > 0) {
    t.log(`left out: ${isRoot ? `${without.join(', ')} not installed` : 'only root can chroot'}`);
    t.pass();
    return undefined;
  }
  const dir = join(tempDir(t), 'root');
  for (const name of ['', 'bin', 'tmp', 'etc', 'home']) mkdirSync(join(dir, name));
  writeFileSync(join(dir, 'etc', 'passwd'), 'root:x:0:0:root:/home:/bin/sh\n');
  addDevices(dir);
  if (kind === 'busybox') addBusybox(dir);
  else for (const program of GNU_PROGRAMS.split(' ')) addProgram(dir, program);
  for (const program of programs) addProgram(dir, program);
  // gpg looks for its agent where it was built to be.
  symlinkSync('../bin', join(mkdirInside(dir, 'usr'), 'bin'));
  const run = (args: readonly string[], user?: 'ordinary') => {
    const as = user === undefined ? [] : [`--userspec=${ORDINARY_USER}:${ORDINARY_USER}`];
    const { status, stdout, stderr } = spawnSync('chroot', [...as, dir, ...args], {
      env: {
        PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
        HOME: '/home',
        GNUPGHOME: '/home/g',
        TMPDIR: '/tmp',
      },
      encoding: 'utf8',
      maxBuffer: 1 << 26,
    });
    return { code: status, output: `${stdout}${stderr}` };
  };
  return { dir, run };
}

function mkdirInside(root: string, name: string): string {
  const dir = join(root, name);
  mkdirSync(dir, { recursive: true });
  return dir;
}

/** Copies a directory into the root, under this name at its top. */
export function putInto(root: RescueRoot, from: string, name: string): void {
  cpSync(from, join(root.dir, name), {
    recursive: true,
    // The sockets of a gpg home.
    filter: (path) => !/\/S\.[a-z.-]+$/.test(path),
  });
}
