/** The engine of diff: snapshots of the original programs, logs in any order, unknown facts. */
import test from 'ava';
import { uriEscape } from '../../src/format/uri-escape.ts';
import type { Change } from '../../src/inspect/change-table.ts';
import { diff } from '../../src/inspect/diff.ts';
import { changeLetters, type Facts } from '../../src/inspect/facts.ts';
import { pathKey } from '../../src/inspect/path-key.ts';
import { bytePath, comparePaths } from '../../src/std/byte-path.ts';
import {
  expectedEntries,
  type ExpectedEntry,
  fixtureKeys,
  type FixtureStore,
  FIXTURES,
} from '../helpers/fixture-stores.ts';
import { fileStanza, objectName, writeSegment, writeSnapshot } from '../helpers/hand-made-store.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const keys = fixtureKeys();
Object.assign(process.env, keys.env);
test.after.always(() => keys.remove());

async function changesOf(store: string, snapshot: string, other: string): Promise<Change[]> {
  const found = await diff({ store, snapshot, other });
  try {
    return [...found.changes()];
  } finally {
    found.close();
  }
}

function expectedOf(fixture: FixtureStore, snapshot: string) {
  return new Map(expectedEntries(fixture, snapshot).map((entry) => [entry.path, entry]));
}

/** What must be found, moves as what is gone and what came. */
function expectedLines(fixture: FixtureStore, a: string, b: string): string[] {
  const [before, after] = [expectedOf(fixture, a), expectedOf(fixture, b)];
  const lines: string[] = [];
  for (const path of new Set([...before.keys(), ...after.keys()])) {
    const [old, now] = [before.get(path), after.get(path)];
    const differs = (...names: (keyof ExpectedEntry)[]) =>
      names.some((key) => JSON.stringify(old?.[key]) !== JSON.stringify(now?.[key]));
    if (old === undefined || now === undefined || old.type !== now.type) {
      if (old !== undefined) lines.push(`- ${path}`);
      if (now !== undefined) lines.push(`+ ${path}`);
      continue;
    }
    const letters = [
      differs('size', 'sha256', 'target', 'device') ? 'C' : '',
      differs('uid', 'gid') ? 'O' : '',
      differs('mode') ? 'P' : '',
      differs('mtime') ? 'T' : '',
    ].join('');
    if (letters !== '') lines.push(`${letters} ${path}`);
  }
  return lines.sort();
}

for (const fixture of FIXTURES) {
  for (const [at, name] of fixture.snapshots.entries()) {
    const previous = fixture.snapshots[at - 1];
    if (previous === undefined) continue;
    test(`${fixture.name}: what differs between ${previous} and ${name} is found`, async (t) => {
      const lines: string[] = [];
      for (const change of await changesOf(fixture.store, previous, name)) {
        const path = uriEscape(change.path);
        if (change.from === undefined) lines.push(`${change.letters} ${path}`);
        else lines.push(`- ${uriEscape(change.from)}`, `+ ${path}`);
      }
      t.deepEqual(lines.sort(), expectedLines(fixture, previous, name));
    });
  }
}

test('logs in any order, and with a path twice, are compared as if in order', async (t) => {
  const store = tempDir(t);
  const file = (name: string, text: string) => fileStanza(name, Buffer.from(text), []);
  const before = file('b/x', 'one') + file('a', 'two') + file('c', 'old') + file('c', 'three');
  const after = file('c', 'three') + file('b/y', 'one') + file('a', 'TWO');
  const logs = [before, after];
  for (const [at, log] of logs.entries()) {
    writeSegment(store, at + 1, [log, `@${objectName(at + 1, 0)}\n`]);
    writeSnapshot(store, {
      timestamp: `2030010${at + 1}T000000`,
      root: objectName(at + 1, 1),
      digits: [at + 1],
      contentOf: () => Buffer.alloc(0),
    });
  }
  const changes = await changesOf(store, 'latest~1', 'latest');
  t.deepEqual(
    changes.map(({ letters, path, from }) => [letters, String(path), from && String(from)]),
    [
      ['C', 'a', undefined],
      ['M', 'b/y', 'b/x'],
    ],
  );
});

test('keys of paths sort as paths do', (t) => {
  const paths = ['.', '!', 'a', 'a/b', 'a/b/c', 'a-', 'a.', 'a!/x', 'ab', '-', '\u00ff'].map(
    (text) => bytePath(text),
  );
  const byPath = paths.toSorted(comparePaths).map(String);
  t.deepEqual(paths.toSorted((a, b) => pathKey(a).compare(pathKey(b))).map(String), byPath);
});

test('what one side did not record is no difference', (t) => {
  const mtime = { s: 5, ns: 7 };
  const full: Facts = {
    type: 'f',
    mode: 0o644,
    uid: 1,
    gid: 1,
    user: 'ann',
    group: 'users',
    mtime,
    sizeBytes: 3,
    sha256: 'ab',
    checksum: 'sha1=cd',
    data: 'x/0',
    xattrs: 'user.a=b',
  };
  const exact = { hasNanoseconds: true, hasXattrs: true };
  const old = { hasNanoseconds: false, hasXattrs: false };
  t.is(changeLetters(full, full, exact), '');
  t.is(changeLetters(full, { ...full, xattrs: '' }, exact), 'X');
  t.is(changeLetters(full, { ...full, mtime: { s: 5, ns: 0 }, xattrs: '' }, old), '');
  t.is(changeLetters(full, { ...full, mtime: { s: 5, ns: 0 } }, exact), 'T');
  t.is(changeLetters(full, { ...full, user: undefined, mode: undefined }, exact), '');
  t.is(changeLetters(full, { ...full, user: 'bob' }, exact), 'O');
  t.is(changeLetters(full, { ...full, sha256: undefined }, exact), '');
  t.is(changeLetters(full, { ...full, sha256: undefined, checksum: 'sha1=ee' }, exact), 'C');
  const other = { ...full, sha256: undefined, checksum: 'sha224=ff' };
  t.is(changeLetters(full, other, exact), '', 'the same pieces of the store');
  t.is(changeLetters(full, { ...other, data: 'y/0' }, exact), '', 'the time is the same');
  t.is(changeLetters(full, { ...other, data: 'y/0', mtime: { s: 6, ns: 0 } }, exact), 'CT');
});
