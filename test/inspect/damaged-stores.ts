/**
 * Bytes that flip in segments, under each of the ways to look into snapshots: what is given is as it
 * was, what cannot be had is named, and nothing worse happens.
 */
import { cpSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { EXIT, exitCodeOf, LbsError } from '../../src/errors.ts';
import { uriEscape } from '../../src/format/uri-escape.ts';
import { diff } from '../../src/inspect/diff.ts';
import { find } from '../../src/inspect/find.ts';
import { history } from '../../src/inspect/history.ts';
import { cat } from '../../src/maintain/cat.ts';
import { dump } from '../../src/maintain/dump.ts';
import { entries } from '../../src/maintain/list-entries.ts';
import { rawStanza } from '../../src/maintain/raw-stanza.ts';
import type { Report } from '../../src/report.ts';
import { bytePath } from '../../src/std/byte-path.ts';
import { backupOptions, places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { lbsExits, lbsOk } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { segmentFiles } from '../helpers/store-state.ts';
import { tempDir } from '../helpers/temp-dir.ts';

/** What one way of looking gave, piece by piece; each piece is right or wrong by itself. */
type Look = (store: string, report: Report, give: (piece: string) => void) => Promise<void>;

const PATH = bytePath('d3/file 33');
const LARGE = bytePath('large');

function writer(give: (piece: string) => void) {
  return (bytes: Buffer) => {
    give(bytes.toString('latin1'));
    return Promise.resolve(true);
  };
}

const LOOKS: Readonly<Record<string, Look>> = {
  ls: async (store, report, give) => {
    for await (const entry of entries({ store, snapshot: 'latest', report })) {
      give(JSON.stringify(entry));
    }
  },
  'ls of a directory': async (store, report, give) => {
    const options = { store, snapshot: 'latest~1', path: bytePath('d3'), isShallow: true, report };
    for await (const entry of entries(options)) give(JSON.stringify(entry));
  },
  stanza: async (store, report, give) => {
    const { bytes } = await rawStanza({ store, snapshot: 'latest', path: PATH, report });
    give(bytes.toString('latin1'));
  },
  cat: async (store, report, give) => {
    await cat({ store, snapshot: 'latest', paths: [PATH, LARGE], write: writer(give), report });
  },
  'dump as tar': async (store, report) => {
    await dump({ store, snapshot: 'latest', write: () => Promise.resolve(true), report });
  },
  'dump as zip': async (store, report) => {
    const write = () => Promise.resolve(true);
    await dump({ store, snapshot: 'latest', format: 'zip', write, report });
  },
  find: async (store, report, give) => {
    const { snapshots, versions } = await find({ store, criteria: { name: 'file *' }, report });
    for (const { snapshots: held, ...version } of versions.versions()) {
      for (const at of held) give(`${snapshots[at]?.name} ${JSON.stringify(version)}`);
    }
    versions.close();
  },
  history: async (store, report, give) => {
    for (const period of await history({ store, path: PATH, report })) give(JSON.stringify(period));
  },
  diff: async (store, report, give) => {
    const found = await diff({ store, snapshot: 'latest~1', other: 'latest', report });
    for (const { letters, path } of found.changes()) give(`${letters} ${uriEscape(path)}`);
    found.close();
  },
};

/** What these give is made of two sides, of which one may be missing; the damage was told then. */
const ONLY_WHEN_WHOLE: ReadonlySet<string> = new Set(['history', 'diff']);

type Seen = { readonly pieces: string[]; readonly damages: number; readonly error: unknown };

async function see(look: Look, store: string): Promise<Seen> {
  const pieces: string[] = [];
  let damages = 0;
  let error: unknown;
  const report: Report = (event) => void (damages += event.type === 'damage' ? 1 : 0);
  try {
    await look(store, report, (piece) => void pieces.push(piece));
  } catch (thrown) {
    error = thrown;
  }
  return { pieces, damages, error };
}

for (const [filter, flips] of [
  ['zstd -c', 10],
  ['bzip2 -c', 2],
] as const) {
  test(`${filter}: a flipped byte is named, and what is given is as it was`, async (t) => {
    // Hundreds of looks, some seconds of processor time.
    t.timeout(300_000);
    const at = places(t);
    const names = Array.from({ length: 500 }, (_, number) => [
      `d${number % 9}/file ${number}`,
      `${number}`,
    ]);
    makeFiles(at.tree, { ...Object.fromEntries(names), large: pseudoRandom('large', 3_000_000) });
    const options = [...backupOptions(at), `--filter=${filter}`];
    await lbsOk(t, [...options, '.'], { cwd: at.tree });
    makeFiles(at.tree, {
      'd3/file 33': 'changed',
      'd5/file new': 'n',
      large: pseudoRandom('l', 2_500_000),
    });
    await lbsOk(t, [...options, '.'], { cwd: at.tree });
    const right = new Map<string, Seen>();
    for (const [name, look] of Object.entries(LOOKS)) {
      const seen = await see(look, at.store);
      t.deepEqual([seen.damages, seen.error], [0, undefined], name);
      right.set(name, seen);
    }
    const damaged = tempDir(t);
    cpSync(at.store, damaged, { recursive: true });
    const segments = readdirSync(at.store).filter((file) => file.includes('.tar.'));
    const random = pseudoRandom(`flips ${filter}`, flips * 8);
    let told = 0;
    for (let flip = 0; flip < flips; flip++) {
      const file = segments[random.readUInt32LE(flip * 8) % segments.length] ?? '';
      const bytes = readFileSync(join(at.store, file));
      const place = random.readUInt32LE(flip * 8 + 4) % bytes.length;
      const whole = Buffer.from(bytes);
      bytes.writeUInt8((bytes[place] ?? 0) ^ (1 << (flip % 8)), place);
      writeFileSync(join(damaged, file), bytes);
      for (const [name, look] of Object.entries(LOOKS)) {
        const seen = await see(look, damaged);
        const wanted = right.get(name)?.pieces ?? [];
        const where = `${name}, byte ${place} of ${file}: ${String(seen.error)}`;
        const isTold = seen.damages > 0 || seen.error !== undefined;
        if (isTold) told++;
        else t.deepEqual(seen.pieces, wanted, where);
        if (seen.error !== undefined) {
          t.true(seen.error instanceof LbsError, where);
          t.is(exitCodeOf(seen.error), EXIT.damaged, where);
        }
        if (ONLY_WHEN_WHOLE.has(name)) continue;
        const known = new Set(wanted);
        t.deepEqual(
          seen.pieces.filter((piece) => !known.has(piece)),
          [],
          where,
        );
      }
      writeFileSync(join(damaged, file), whole);
    }
    t.true(told > flips, `${told} of ${flips} flips`);
  });
}

test('a segment that a reverse filter cannot read to its end is damage for cat, too', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { large: pseudoRandom('cut', 2_500_000) });
  await lbsOk(t, [...backupOptions(at), '--filter=bzip2 -c', '.'], { cwd: at.tree });
  const sizeOf = (file: string) => statSync(join(at.store, file)).size;
  const [largest = ''] = segmentFiles(at.store).sort((a, b) => sizeOf(b) - sizeOf(a));
  truncateSync(join(at.store, largest), 2_000_000);
  const run = await lbsExits(t, 4, ['cat', `--store=${at.store}`, 'latest', 'large']);
  t.regex(run.stderr, /the reverse filter "bzip2 -dc" exited with 2/);
});
