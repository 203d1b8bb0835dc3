/**
 * Many snapshots of one tree, made and read within this process: a process for each would take
 * half a minute. The working directory and the clock are the process's, so only tests that run one
 * after the other (`test.serial`) may use this.
 */
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import type { BackupOptions, BackupSummary } from '../../src/backup/backup-options.ts';
import { backup } from '../../src/backup/run-backup.ts';
import { parseDescriptor } from '../../src/format/descriptor.ts';
import { entries } from '../../src/maintain/list-entries.ts';
import { bytePath } from '../../src/std/byte-path.ts';
import type { Places } from './places.ts';

const SECONDS_BETWEEN_SNAPSHOTS = 100;

export type SeriesOptions = Partial<Omit<BackupOptions, 'store' | 'localdb' | 'paths'>> & {
  /** Relative to the tree; `.` unless said. */
  readonly paths?: readonly string[];
};

/** `path type size mode mtime sha256` of every entry. */
export type Listing = readonly string[];

function line(fields: readonly unknown[]): string {
  return fields.map(String).join(' ');
}

/** Digests by inode and change time: most files of a series stay as they are. */
const digests = new Map<string, string>();

function digestOf(file: string, identity: string): string {
  let digest = digests.get(identity);
  if (digest === undefined) {
    digest = createHash('sha256').update(readFileSync(file)).digest('hex');
    digests.set(identity, digest);
  }
  return digest;
}

/** The listing of a tree as it is. */
export function listTree(top: string): Listing {
  const lines: string[] = [];
  const add = (path: string) => {
    const full = join(top, path);
    const status = lstatSync(full, { bigint: true });
    const isFile = status.isFile();
    const content = isFile ? digestOf(full, `${status.ino}/${status.ctimeNs}/${status.size}`) : '';
    const type = isFile ? 'f' : 'd';
    const size = isFile ? status.size : 0;
    lines.push(line([path, type, size, status.mode & 0o7777n, status.mtimeNs, content]));
    if (isFile) return;
    const names = readdirSync(full, { encoding: 'latin1' }).sort();
    for (const name of names) add(path === '.' ? name : `${path}/${name}`);
  };
  add('.');
  return lines;
}

export class SnapshotSeries {
  readonly at: Places;
  #clockS = 2_000_000_000;

  constructor(t: ExecutionContext, at: Places) {
    this.at = at;
    const before = process.cwd();
    process.chdir(at.tree);
    t.teardown(() => {
      delete process.env['LBS_TEST_CLOCK_S'];
      process.chdir(before);
    });
  }

  /** A backup long after everything was changed, so that the next one may trust its stat cache. */
  async backup(options: SeriesOptions = {}): Promise<BackupSummary & { snapshot: string }> {
    this.#clockS += SECONDS_BETWEEN_SNAPSHOTS;
    process.env['LBS_TEST_CLOCK_S'] = String(this.#clockS);
    const { store, localdb } = this.at;
    const { paths = ['.'], ...others } = options;
    const named = paths.map((path) => bytePath(path));
    const summary = await backup({ ...others, store, localdb, paths: named });
    return { ...summary, snapshot: summary.snapshot ?? '' };
  }

  /** The listing of a snapshot; damage of its metadata fails. */
  async list(snapshot: string): Promise<Listing> {
    const lines: string[] = [];
    const report = (event: { type: string }) => {
      if (event.type === 'damage') throw new Error(JSON.stringify(event));
    };
    for await (const entry of entries({ store: this.at.store, snapshot, report })) {
      const { path, type, sizeBytes, mode, mtime, sha256 } = entry;
      const mtimeNs = BigInt(mtime?.s ?? 0) * 1_000_000_000n + BigInt(mtime?.ns ?? 0);
      lines.push(line([path.toString('latin1'), type, sizeBytes, mode, mtimeNs, sha256 ?? '']));
    }
    return lines;
  }

  /** The descriptor of a snapshot. */
  descriptor(snapshot: string) {
    return parseDescriptor(readFileSync(join(this.at.store, `snapshot-${snapshot}.lbs`), 'latin1'));
  }
}
