/** Stores whose segments are replaced by bombs: small files that unpack to very much. */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EnemyStore } from './enemy-store.ts';
import { objectName } from './hand-made-store.ts';
import { attacked, restoreAll, type Siege } from './siege.ts';

export const MIB = 1024 * 1024;
export const ZEROS = Buffer.alloc(32 * MIB);

/** Puts `bytes` in the place of the file of a segment. */
export function replaceSegment(at: Siege, segment: string, extension: string, bytes: Buffer): void {
  rmSync(join(at.store, `${segment}.tar`));
  writeFileSync(join(at.store, `${segment}.tar${extension}`), bytes);
}

/** A store of a few files, without sums, whose blocks are to be replaced. */
export function smallStore(at: Siege): EnemyStore {
  const store = new EnemyStore().directory('.').file('x', 'x'.repeat(1000));
  // What is not there has to be looked for up to the end.
  store.file('y', 'y', { data: objectName(1, 0xffffff) });
  store.write(at.store, { isWithoutSums: true });
  return store;
}

/** Restore and verify find the damage, and nothing else happens. */
export async function readByAll(t: Parameters<typeof attacked>[0], at: Siege): Promise<void> {
  const run = await attacked(t, at, restoreAll(at));
  t.is(run.code, 4, run.stderr);
  const verify = await attacked(t, at, ['verify', `--store=${at.store}`, '--data']);
  t.is(verify.code, 4, verify.stderr);
}
