/**
 * The root object of a metadata log: a line for each metadata object, and one line for a stretch
 * of an older root that names the same ones. Made by metadata-log-writer and rewrite-log.
 *
 * Invariant: readers nest at most three objects (root, object, slice). A stretch of an old root is
 * therefore only used for objects that hold no references themselves ("flat").
 */
import type { RootPlace } from '../localdb/stat-cache-writer.ts';

/** One line of the root: a metadata object, and where an older root has its line. */
export type RootItem = {
  readonly object: string;
  readonly isFlat: boolean;
  readonly old: RootPlace | undefined;
};

/** In the root that is being made, which has no name yet. */
type NewPlace = Omit<RootPlace, 'object'>;

/**
 * Text of the root object, and where each item's line is: in an old root, or in this one. `use` is
 * told of the old roots that it names.
 */
export function renderRoot(
  items: readonly RootItem[],
  use: (object: string) => void,
): {
  text: string;
  places: (RootPlace | NewPlace)[];
} {
  const places: (RootPlace | NewPlace)[] = [];
  let text = '';
  for (let at = 0; at < items.length;) {
    const stretch = stretchFrom(items, at);
    const first = items[at]?.old;
    // A stretch of one line would only trade a line for a line as long.
    if (first !== undefined && stretch > 1) {
      const last = items[at + stretch - 1]?.old ?? first;
      use(first.object);
      text += `@${first.object}[${first.start}+${last.start + last.length - first.start}]\n`;
      for (const { old } of items.slice(at, at + stretch)) if (old !== undefined) places.push(old);
      at += stretch;
      continue;
    }
    const line = `@${items[at]?.object ?? ''}\n`;
    places.push({ start: text.length, length: line.length });
    text += line;
    at++;
  }
  return { text, places };
}

/** How many items from `at` on are flat and follow each other in one old root. */
function stretchFrom(items: readonly RootItem[], at: number): number {
  let count = 0;
  let before: RootPlace | undefined;
  for (let next = at; next < items.length; next++) {
    const item = items[next];
    if (item?.old === undefined || !item.isFlat) break;
    const { object, start } = item.old;
    if (
      before !== undefined &&
      (object !== before.object || start !== before.start + before.length)
    ) {
      break;
    }
    before = item.old;
    count++;
  }
  return count;
}
