/** Whether a restored tree is the one that was saved, by find and diff and nothing of ours. */
import { spawnSync } from 'node:child_process';

/**
 * Type, mode, owner, size, link and time of everything, then all contents. Whole seconds, because
 * a plain tar keeps no more; a directory's size is the file system's affair.
 */
const COMPARE = `
list() {
  cd "$1" && find . \\( -type d -printf '%p %y %m %U %G %T@\\n' \\) -o \\
    -printf '%p %y %m %U %G %s %l %T@\\n' | sed 's/\\.[0-9]*$//' | LC_ALL=C sort
}
diff <(list "$1") <(list "$2") && diff -rq --no-dereference "$1" "$2"
`;

const SHOWN_CHARACTERS = 1000;

/** Empty when they are equal, else the beginning of what differs. */
export function compareTrees(saved: string, restored: string): string {
  const run = spawnSync('bash', ['-c', COMPARE, 'compare', saved, restored], {
    encoding: 'utf8',
    maxBuffer: 1e9,
  });
  if (run.status === 0) return '';
  return `${run.stdout}${run.stderr}`.slice(0, SHOWN_CHARACTERS) || `diff ended with ${run.status}`;
}
