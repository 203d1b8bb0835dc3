/** Trees of real machines, where files have names outside of the tree. */
import type { EntryState, TreeState } from './tree-state.ts';

/**
 * The state with only those links counted that are names in the tree: what other names a file of
 * a real machine has elsewhere, no restore can bring back.
 */
export function linkedWithin(tree: TreeState): TreeState {
  const names = new Map<string, number>();
  for (const { sameAs } of tree.values()) {
    if (sameAs !== undefined) names.set(sameAs, (names.get(sameAs) ?? 0) + 1);
  }
  const counted = [...tree].map(([path, entry]): [string, EntryState] => {
    const { sameAs, ...rest } = entry;
    if (sameAs === undefined) return [path, entry];
    const links = names.get(sameAs) ?? 1;
    return [path, links === 1 ? { ...rest, links } : { ...entry, links }];
  });
  return new Map(counted);
}
