import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { type Entry, referencesOf } from '../../src/format/entry.ts';
import { uriEscape } from '../../src/format/uri-escape.ts';
import { entries } from '../../src/maintain/list-entries.ts';
import { list } from '../../src/maintain/list-snapshots.ts';
import { verify } from '../../src/maintain/verify.ts';
import { readMetadata } from '../../src/metadata/metadata-log-reader.ts';
import { ContentPlan } from '../../src/restore/content-plan.ts';
import { deliverContents } from '../../src/restore/deliver-contents.ts';
import { SegmentSource } from '../../src/segments/segment-source.ts';
import { listSnapshots, openSnapshot } from '../../src/snapshots/open-snapshot.ts';
import { bytePath } from '../../src/std/byte-path.ts';
import { openStore } from '../../src/stores/open-store.ts';

// LBS_FIXTURES names a directory with stores of more original programs, where there is one.
const STORES =
  process.env['LBS_FIXTURES'] ?? fileURLToPath(new URL('../fixtures/stores', import.meta.url));
const FIXTURES = readdirSync(STORES)
  .map((name) => ({ name, dir: join(STORES, name) }))
  .filter(({ dir }) => isFlat(dir));

function isFlat(dir: string): boolean {
  const file = join(dir, 'fixture.json');
  if (!existsSync(file)) return false;
  const { layout, filter_extension: extension } = JSON.parse(readFileSync(file, 'utf8'));
  return layout === 'flat' && extension !== '.gpg';
}

type Expected = {
  path: string;
  type: string;
  mode: string;
  uid: number;
  gid: number;
  mtime: number;
  size?: number;
  sha256?: string;
  target?: string;
  device?: [number, number];
};

const KEYS = ['path', 'type', 'mode', 'uid', 'gid', 'mtime', 'size', 'sha256', 'target', 'device'];

function expectedOf(dir: string, snapshot: string): Map<string, unknown> {
  const text = readFileSync(join(dir, `${snapshot}.expected.json`), 'utf8');
  const all: Expected[] = JSON.parse(text).entries;
  return new Map(
    all.map((entry) => [
      entry.path,
      Object.fromEntries(Object.entries(entry).filter(([key]) => KEYS.includes(key))),
    ]),
  );
}

function actualOf(entry: Entry, sha256: string | undefined): unknown {
  const { device } = entry;
  return {
    path: uriEscape(entry.path),
    type: entry.type,
    mode: (entry.mode ?? 0).toString(8).padStart(4, '0'),
    uid: entry.uid,
    gid: entry.gid,
    mtime: entry.mtime?.s,
    ...(entry.type === 'f' ? { size: entry.sizeBytes, sha256 } : {}),
    ...(entry.target === undefined ? {} : { target: uriEscape(entry.target) }),
    ...(device === undefined ? {} : { device: [device.major, device.minor] }),
  };
}

/** Entries of a snapshot, the content of files rebuilt and hashed. */
async function rebuild(t: ExecutionContext, dir: string, name: string): Promise<unknown[]> {
  const store = openStore(join(dir, 'store'));
  const source = new SegmentSource(store);
  const snapshot = listSnapshots(store).find((found) => found.name === name);
  if (snapshot === undefined) throw new Error(`no snapshot ${name}`);
  const { descriptor } = await openSnapshot(store, snapshot);
  const plan = new ContentPlan();
  const found: { entry: Entry; content: Buffer }[] = [];
  const onDamage = (message: string) => t.fail(message);
  for await (const entry of readMetadata(source, descriptor, { onDamage })) {
    plan.addFile(found.length, referencesOf(entry, descriptor.dialect), entry.sizeBytes);
    found.push({ entry, content: Buffer.alloc(entry.sizeBytes) });
  }
  await deliverContents(plan, source, {
    piece: (file, offset, bytes) => void bytes.copy(found[file]?.content ?? bytes, offset),
    lost: (file, reason) => t.fail(`${file}: ${reason}`),
  });
  plan.close();
  return found.map(({ entry, content }) =>
    actualOf(entry, createHash('sha256').update(content).digest('hex')),
  );
}

for (const { name: fixture, dir } of FIXTURES) {
  test(`${fixture}: every snapshot is listed, oldest first`, async (t) => {
    const about = JSON.parse(readFileSync(join(dir, 'fixture.json'), 'utf8'));
    const found = await list({ store: join(dir, 'store') });
    t.deepEqual(
      found.map((info) => info.name),
      about.snapshots.map((snapshot: { name: string }) => snapshot.name),
    );
    for (const info of found) {
      t.is(info.error, undefined);
      t.true(info.segments > 0 && info.storedBytes > 0);
    }
  });

  test(`${fixture}: every entry and every byte is as the original program found it`, async (t) => {
    for (const { name } of await list({ store: join(dir, 'store') })) {
      const expected = expectedOf(dir, name);
      const actual = await rebuild(t, dir, name);
      t.is(actual.length, expected.size);
      for (const entry of actual) {
        t.deepEqual(entry, expected.get((entry as { path: string }).path), name);
      }
    }
  });

  test(`${fixture}: verify finds nothing, however deep it looks`, async (t) => {
    for (const depth of ['checksums', 'objects', 'data'] as const) {
      const summary = await verify({ store: join(dir, 'store'), depth });
      t.deepEqual(summary.damage, []);
      t.is(
        summary.snapshots.length,
        readdirSync(dir).filter((file) => /expected/.test(file)).length,
      );
      t.true(depth === 'checksums' || summary.objects > 0);
      t.true(depth !== 'data' || summary.files > 0);
    }
  });

  test(`${fixture}: ls of a path gives what is at and below it`, async (t) => {
    const options = { store: join(dir, 'store'), snapshot: 'latest', scheme: schemeOf(dir) };
    const below: string[] = [];
    for await (const entry of entries({ ...options, path: bytePath('./links/') })) {
      below.push(String(entry.path));
    }
    t.is(below[0], 'links');
    t.true(below.length > 1);
    t.true(below.every((path) => path === 'links' || path.startsWith('links/')));
    await t.throwsAsync(
      async () => {
        for await (const entry of entries({ ...options, path: bytePath('lin') }))
          t.fail(String(entry.path));
      },
      { code: 'source-missing' },
    );
  });
}

/** The scheme of the last snapshot, for stores with several. */
function schemeOf(dir: string): string {
  const about = JSON.parse(readFileSync(join(dir, 'fixture.json'), 'utf8'));
  const last: string = about.snapshots.at(-1).name;
  return last.slice(0, Math.max(last.lastIndexOf('-'), 0));
}
