/** What a snapshot holds, as `lbs ls` tells it. */
import type { ExecutionContext } from 'ava';
import { jsonLines, lbsOk } from './run-lbs.ts';

function unescape(text: string): string {
  return text.replace(/%([0-9a-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(parseInt(hex, 16)),
  );
}

/** Paths of a snapshot in order, as Latin-1 text of their bytes; `.` is the top. */
export async function savedPaths(
  t: ExecutionContext,
  store: string,
  snapshot = 'latest',
): Promise<string[]> {
  const run = await lbsOk(t, ['ls', '-R', '--json', `--store=${store}`, snapshot]);
  return jsonLines(run).flatMap((line) => {
    const { path, path_escaped: escaped } = line;
    if (typeof escaped === 'string') return unescape(escaped);
    return typeof path === 'string' ? Buffer.from(path).toString('latin1') : [];
  });
}
