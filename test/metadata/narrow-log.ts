/** Parts of a log: whatever is asked for is found, and what lies far from it is not read. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { readMetadata } from '../../src/metadata/metadata-log-reader.ts';
import { SegmentSource } from '../../src/segments/segment-source.ts';
import { listSnapshots, openSnapshot } from '../../src/snapshots/open-snapshot.ts';
import { openStore } from '../../src/stores/open-store.ts';
import { bytePath, comparePaths, isWithin } from '../../src/std/byte-path.ts';
import { objectName, sha1, writeSegment, writeSnapshot } from '../helpers/hand-made-store.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const stanza = (name: string) => `name: ${name.replaceAll(' ', '%20')}\ntype: d\n\n`;
const include = (digit: number, object: number, text: string, slice = '') =>
  `@${objectName(digit, object)}(sha1=${sha1(text)})${slice}\n`;

/** Directories with directories in them, with names that sort apart from plain text. */
const PATHS = ['.', ...['a', 'a b', 'a+', 'b', 'b-c', 'c'].flatMap((top) => [
  top, ...Array.from('0123456789').flatMap((one) => [`${top}/${one}`, `${top}/${one}/x`, `${top}/${one}/x/y`]),
])].sort((a, b) => comparePaths(bytePath(a), bytePath(b))); // prettier-ignore

const STANZAS_EACH = 4;

/** The texts of a log's objects in order. */
function objectsOf(paths: readonly string[]): string[] {
  const objects: string[] = [];
  for (let at = 0; at < paths.length; at += STANZAS_EACH) {
    objects.push(
      paths
        .slice(at, at + STANZAS_EACH)
        .map(stanza)
        .join(''),
    );
  }
  return objects;
}

/** What is read of a log made of two segments: the last lines of its root are those of an older one. */
async function logOf(
  t: ExecutionContext,
  objects: readonly string[],
  lost: readonly number[] = [],
) {
  const store = tempDir(t);
  const half = objects.length >> 1;
  const lines = objects.map((text, at) => include(1, at, lost.includes(at) ? `${text} ` : text));
  const oldRoot = ['a line of before\n', ...lines.slice(half)].join('');
  const tail = include(1, objects.length, oldRoot, `[17+${oldRoot.length - 17}]`);
  const root = lines.slice(0, half).join('') + tail;
  writeSegment(store, 1, [...objects, oldRoot]);
  writeSegment(store, 2, [root]);
  writeSnapshot(store, {
    timestamp: '20261120T120000',
    root: objectName(2, 0),
    digits: [1, 2],
    contentOf: (file) => readFileSync(join(store, file)),
  });
  const opened = openStore(store);
  const [snapshot] = listSnapshots(opened);
  if (snapshot === undefined) throw new Error('no snapshot');
  const { descriptor } = await openSnapshot(opened, snapshot);
  return async (...wanted: string[]) => {
    const damage: string[] = [];
    const found: string[] = [];
    const log = readMetadata(new SegmentSource(opened), descriptor, {
      only: wanted.map((path) => bytePath(path)),
      onDamage: (message) => damage.push(message),
    });
    for await (const { path } of log) found.push(path.toString());
    return { found, damage };
  };
}

/** What a reader of `wanted` needs: these, all below them, and the directories above. */
function needed(wanted: readonly string[]): string[] {
  return PATHS.filter((path) =>
    wanted.some((one) => {
      const [a, b] = [bytePath(path), bytePath(one)];
      return path === '.' || isWithin(a, b) || isWithin(b, a);
    }),
  );
}

test('whatever path is asked for, it is found with all below and above it', async (t) => {
  const read = await logOf(t, objectsOf(PATHS));
  for (const path of [...PATHS.slice(1), 'a/', 'nowhere', 'b/5/x/z', '!', '~']) {
    const { found, damage } = await read(path);
    t.deepEqual(damage, []);
    const missing = needed([path]).filter((one) => !found.includes(one));
    t.deepEqual(missing, [], path);
    t.deepEqual(found, PATHS.filter((one) => found.includes(one)), path);
  }
  const several = ['a b/3', 'c', 'a/9/x/y'];
  const { found } = await read(...several);
  t.deepEqual(needed(several).filter((one) => !found.includes(one)), []);
}); // prettier-ignore

test('what lies far from the path is not read', async (t) => {
  const read = await logOf(t, objectsOf(PATHS));
  // The object with the path, and those with the top and the directories above it.
  for (const path of ['a+/4/x/y', 'b/5/x/y', 'c/9/x']) {
    const { found } = await read(path);
    t.true(found.length <= 4 * STANZAS_EACH, `${path}: ${found.length} entries`);
  }
});

test('objects that are damaged cost nothing but themselves', async (t) => {
  const objects = objectsOf(PATHS);
  for (let lost = 0; lost < objects.length; lost++) {
    const read = await logOf(t, objects, [lost]);
    const gone = PATHS.slice(lost * STANZAS_EACH, (lost + 1) * STANZAS_EACH);
    for (const path of [PATHS[1 + lost * STANZAS_EACH] ?? '', 'b/5/x/y', 'c']) {
      const { found, damage } = await read(path);
      const wanted = needed([path]);
      const missing = wanted.filter((one) => !found.includes(one));
      t.deepEqual(missing, wanted.filter((one) => gone.includes(one)), `${lost} ${path}`);
      if (missing.length > 0) t.is(damage.length, 1, `${lost} ${path}`);
    }
  }
}); // prettier-ignore
