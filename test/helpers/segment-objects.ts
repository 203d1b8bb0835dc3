/** Reads segments the way a person without lbs would: the reverse filter, then tar. */
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { tempDir } from './temp-dir.ts';

const REVERSE_OF_EXTENSION: Record<string, string> = {
  '': 'cat',
  '.zst': 'zstd -dc',
  '.bz2': 'bzip2 -dc',
  '.gz': 'gzip -dc',
};

/** Names that `tar tf` lists after the reverse filter. */
export function memberNames(
  file: string,
  reverse: string,
  env: Record<string, string> = {},
): string[] {
  const { status, stdout, stderr } = spawnSync(
    'sh',
    ['-c', `${reverse} < "$0" | tar -tf -`, file],
    {
      env: { ...process.env, ...env },
      maxBuffer: 1 << 28,
    },
  );
  if (status !== 0) throw new Error(`${file}: ${String(stderr)}`);
  return String(stdout)
    .split('\n')
    .filter((name) => name !== '');
}

/** Contents of every object of a segment that stands in a store, by member name. */
export function segmentObjects(
  t: ExecutionContext,
  store: string,
  file: string,
): Map<string, Buffer> {
  const extension = /\.tar(\..+)?$/.exec(file)?.[1] ?? '';
  const dir = tempDir(t);
  const command = `${REVERSE_OF_EXTENSION[extension] ?? 'cat'} < "$0" | tar -xf - -C "$1"`;
  const { status, stderr } = spawnSync('sh', ['-c', command, join(store, file), dir]);
  if (status !== 0) throw new Error(`${file}: ${String(stderr)}`);
  const objects = new Map<string, Buffer>();
  for (const segment of readdirSync(dir)) {
    for (const object of readdirSync(join(dir, segment)).sort()) {
      objects.set(`${segment}/${object}`, readFileSync(join(dir, segment, object)));
    }
  }
  return objects;
}
