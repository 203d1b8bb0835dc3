/**
 * Goes through two trees side by side, in the order of paths.
 *
 * Called by diff. Neither side is asked for its next path before what was found is dealt with, so
 * that a side that walks a disk can be told what not to walk into.
 */
import { type BytePath, comparePaths } from '../std/byte-path.ts';
import type { Facts } from './facts.ts';
import type { PathFacts } from './sorted-entries.ts';

export type MergeHandler = {
  both(path: BytePath, before: Facts, after: Facts): Promise<void> | void;
  gone(path: BytePath, before: Facts): void;
  came(path: BytePath, after: Facts): void;
};

async function nextOf(side: AsyncIterator<PathFacts>): Promise<PathFacts | undefined> {
  const next = await side.next();
  return next.done === true ? undefined : next.value;
}

/** Hands every path of two sides to `handler`; closes both. */
export async function mergePaths(
  beforeSide: AsyncGenerator<PathFacts>,
  afterSide: AsyncGenerator<PathFacts>,
  handler: MergeHandler,
): Promise<void> {
  try {
    // Not at once: both may use what was fetched for the other.
    let before = await nextOf(beforeSide);
    let after = await nextOf(afterSide);
    while (before !== undefined || after !== undefined) {
      const order =
        before === undefined ? 1 : after === undefined ? -1 : comparePaths(before.path, after.path);
      if (before !== undefined && after !== undefined && order === 0) {
        await handler.both(before.path, before.facts, after.facts);
        before = await nextOf(beforeSide);
        after = await nextOf(afterSide);
      } else if (before !== undefined && order < 0) {
        handler.gone(before.path, before.facts);
        before = await nextOf(beforeSide);
      } else if (after !== undefined) {
        handler.came(after.path, after.facts);
        after = await nextOf(afterSide);
      }
    }
  } finally {
    await beforeSide.return(undefined);
    await afterSide.return(undefined);
  }
}
