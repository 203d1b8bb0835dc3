/** A store of many snapshots at the cost of one. */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sealed } from '../../src/format/descriptor-seal.ts';
import { snapshotNames } from './store-state.ts';

/** `2020-01-02 03` is the snapshot of that day and hour, UTC. */
export function nameAt(time: string): string {
  return `${time.replaceAll('-', '').replace(' ', 'T')}0000`;
}

/**
 * Gives the store more snapshots of the same content: its first descriptor under other names and
 * with other dates, as the program writes it in a tree where nothing changes.
 */
export function multiply(store: string, times: readonly string[]): void {
  const [first = ''] = snapshotNames(store);
  const text = readFileSync(join(store, `snapshot-${first}.lbs`), 'utf8');
  for (const time of times) {
    const base = join(store, `snapshot-${nameAt(time)}`);
    const date = `${time}:00:00 +0000`;
    const of = text
      .replace(/^Date: .*$/m, `Date: ${date}`)
      .replace(/^Name: .*$/m, `Name: ${nameAt(time)}`)
      .replace(/^Previous.*\n/gm, '');
    writeFileSync(`${base}.lbs`, sealed(of));
    for (const kind of ['sha1sums', 'sha256sums']) {
      copyFileSync(join(store, `snapshot-${first}.${kind}`), `${base}.${kind}`);
    }
  }
}
