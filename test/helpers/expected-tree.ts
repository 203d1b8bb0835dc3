/** What a restore of a fixture's snapshot made, held against what the source tree was. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { ExecutionContext } from 'ava';
import { uriEscape, uriUnescape } from '../../src/format/uri-escape.ts';
import type { ExpectedEntry } from './fixture-stores.ts';
import { isRoot } from './temp-dir.ts';
import type { TreeState } from './tree-state.ts';

function wantedOf(expected: ExpectedEntry): Record<string, unknown> {
  const { type, uid, gid, device } = expected;
  return {
    type,
    ...(type === 'l' ? {} : { mode: expected.mode.padStart(4, '0') }),
    owner: `${uid}:${gid}`,
    mtime: expected.mtime,
    ...(expected.size === undefined ? {} : { size: expected.size, sha256: expected.sha256 }),
    ...(type === 'l' ? { target: String(uriUnescape(expected.target ?? '')) } : {}),
    ...(device === undefined ? {} : { device: device.join('/') }),
    ...(expected.group === undefined ? {} : { sameAs: expected.group }),
  };
}

function foundIn(target: string, tree: TreeState, path: string): Record<string, unknown> {
  const entry = tree.get(path);
  if (!entry) return {};
  const full = Buffer.concat([Buffer.from(`${target}/`), Buffer.from(path, 'latin1')]);
  const { type, mtimeNs, size } = entry;
  const below = ((mtimeNs % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  return {
    type,
    ...(type === 'l' ? {} : { mode: entry.mode }),
    owner: entry.owner,
    mtime: Number((mtimeNs - below) / 1_000_000_000n),
    ...(size === undefined
      ? {}
      : { size, sha256: createHash('sha256').update(readFileSync(full)).digest('hex') }),
    ...(type === 'l' ? { target: String(Buffer.from(entry.target ?? '', 'latin1')) } : {}),
    ...(entry.device === undefined ? {} : { device: entry.device }),
    ...(entry.sameAs === undefined
      ? {}
      : { sameAs: uriEscape(Buffer.from(entry.sameAs, 'latin1')) }),
  };
}

/**
 * The tree in `target` is `expected`: types, modes, owners, times, sizes, contents, link targets,
 * devices and groups of hard links. For any user but root, who alone may give files away, it is
 * only that there is nothing else.
 */
export function isAsExpected(
  t: ExecutionContext,
  target: string,
  tree: TreeState,
  expected: readonly ExpectedEntry[],
): void {
  const names = new Set(expected.map(({ path }) => uriUnescape(path).toString('latin1')));
  t.deepEqual(
    [...tree.keys()].filter((path) => !names.has(path)),
    [],
  );
  if (!isRoot) return;
  for (const entry of expected) {
    const path = uriUnescape(entry.path).toString('latin1');
    t.deepEqual(foundIn(target, tree, path), wantedOf(entry), entry.path);
  }
}
