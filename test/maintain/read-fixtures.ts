import { createHash } from 'node:crypto';
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
import {
  expectedEntries,
  type FixtureStore,
  fixtureKeys,
  FIXTURES,
  schemeOf,
} from '../helpers/fixture-stores.ts';

// Reverse filters get the environment of this process.
const keys = fixtureKeys();
process.env['GNUPGHOME'] = keys.env.GNUPGHOME;
test.after.always(() => keys.remove());

const KEYS = ['path', 'type', 'mode', 'uid', 'gid', 'mtime', 'size', 'sha256', 'target', 'device'];

function expectedOf(fixture: FixtureStore, snapshot: string): Map<string, unknown> {
  return new Map(
    expectedEntries(fixture, snapshot).map((entry) => [
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
async function rebuild(t: ExecutionContext, place: string, name: string): Promise<unknown[]> {
  const store = openStore(place);
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

for (const fixture of FIXTURES) {
  const { name: about, store } = fixture;

  test(`${about}: every snapshot is listed, oldest first`, async (t) => {
    const found = await list({ store });
    t.deepEqual(
      found.map((info) => info.name),
      fixture.snapshots,
    );
    for (const info of found) {
      t.is(info.error, undefined);
      t.true(info.segments > 0 && info.storedBytes > 0);
    }
  });

  test(`${about}: every entry and every byte is as the original program found it`, async (t) => {
    for (const name of fixture.snapshots) {
      const expected = expectedOf(fixture, name);
      const actual = await rebuild(t, store, name);
      t.is(actual.length, expected.size);
      for (const entry of actual) {
        t.deepEqual(entry, expected.get((entry as { path: string }).path), name);
      }
    }
  });

  test(`${about}: verify finds nothing, however deep it looks`, async (t) => {
    for (const depth of ['checksums', 'objects', 'data'] as const) {
      const summary = await verify({ store, depth });
      t.deepEqual(summary.damage, []);
      t.deepEqual(summary.snapshots, fixture.snapshots);
      // Descriptor and checksums file of each snapshot, and segments, each once.
      t.true(summary.storeFiles > 2 * fixture.snapshots.length, `${summary.storeFiles}`);
      t.true(depth === 'checksums' || summary.objects > 0);
      t.true(depth !== 'data' || summary.files > 0);
    }
  });

  test(`${about}: ls of a path gives what is at and below it`, async (t) => {
    const scheme = schemeOf(fixture.snapshots.at(-1) ?? '');
    const options = { store, snapshot: 'latest', scheme };
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
