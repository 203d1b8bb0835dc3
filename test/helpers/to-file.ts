/** Runs of lbs whose standard output is content: it goes to a file, as a shell sends it there. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { lbsExits, type RunOptions } from './run-lbs.ts';
import { tempDir } from './temp-dir.ts';

export type FileRun = { readonly file: string; readonly bytes: Buffer; readonly stderr: string };

/** Runs lbs, which must exit with `code`; what it wrote to standard output. */
export async function lbsToFile(
  t: ExecutionContext,
  code: number,
  args: readonly (string | Buffer)[],
  options: RunOptions = {},
): Promise<FileRun> {
  const file = join(tempDir(t), 'output');
  const through = ['/bin/sh', '-c', 'exec "$@" > "$0"', file];
  const { stderr } = await lbsExits(t, code, args, { ...options, through });
  return { file, bytes: readFileSync(file), stderr };
}
