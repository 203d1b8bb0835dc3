/** A store that a client may only add to, and the janitor that it belongs to. */
import { chmodSync, chownSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ORDINARY_USER } from './temp-dir.ts';

export const JANITOR = ORDINARY_USER - 1;

/** What the machine with the store does whenever the client has added something. */
export function takeOver(store: string): void {
  for (const name of readdirSync(store)) {
    const file = join(store, name);
    chownSync(file, JANITOR, JANITOR);
    // What the janitor writes is for the client to read.
    if (/^(?:gc|forgotten)-/.test(name)) continue;
    chmodSync(file, 0o600);
  }
}
