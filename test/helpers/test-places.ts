/**
 * Where a run of all tests has its files: in memory, where there is enough of it. Nearly all of the
 * tests are about what the program does, and not about the disk; a disk makes them wait for
 * thousands of fsyncs, and costs a fifth more processor time. Tests of what a filesystem does
 * import `on-disk.ts` and stay on one.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const IN_MEMORY = '/dev/shm';
const TMPFS = 0x01021994;
/** The largest tests take some 2 GiB, and a few run at once. */
const ROOM_MIN = 6 * 1024 ** 3;
const ENTERED_BY_ALL = 0o755;

function hasRoom(): boolean {
  try {
    const { type, bavail, bsize } = statfsSync(IN_MEMORY);
    return type === TMPFS && Math.min(bavail * bsize, process.availableMemory()) >= ROOM_MIN;
  } catch {
    // A system without it.
    return false;
  }
}

export type TestPlaces = {
  /** For the processes of the tests. */
  readonly env: Record<string, string>;
  readonly remove: () => void;
};

/** LBS_TEST_DISK, when it is set already, keeps everything there. */
export function testPlaces(): TestPlaces {
  const disk = process.env['LBS_TEST_DISK'] ?? tmpdir();
  const isInMemory = process.env['LBS_TEST_DISK'] === undefined && hasRoom();
  const base = mkdtempSync(join(isInMemory ? IN_MEMORY : disk, 'lbs-tests-'));
  chmodSync(base, ENTERED_BY_ALL);
  const files = join(base, 'files');
  mkdirSync(files);
  return {
    env: {
      LBS_TEST_DISK: disk,
      TMPDIR: isInMemory ? files : disk,
      // Of sources without their types, and of the program: each is compiled once, not for each test.
      NODE_COMPILE_CACHE: join(base, 'compiled'),
    },
    remove: () => {
      try {
        rmSync(base, { recursive: true, force: true, maxRetries: 3 });
      } catch (error) {
        // A process or a mount that a test left behind: worth knowing, but no result of the tests.
        console.error(`cannot remove ${base}: ${String(error)}`);
      }
    },
  };
}
