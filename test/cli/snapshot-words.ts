/** Words for snapshots: beginnings, `latest~N` and `before:DATE`, in every zone. */
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { parseMoment } from '../../src/format/timestamp.ts';
import { places, type Places } from '../helpers/places.ts';
import { lbsExits, lbsOk } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { saveAt } from '../helpers/timed-series.ts';

/** Snapshots that hold a file of the name `one`, `two` and `three`. */
async function threeSnapshots(t: ExecutionContext): Promise<Places> {
  const at = places(t);
  makeFiles(at.tree, { one: 'x' });
  await saveAt(t, at, '2030-01-01T00:00:00Z');
  renameSync(join(at.tree, 'one'), join(at.tree, 'two'));
  await saveAt(t, at, '2030-01-02T12:30:00Z');
  renameSync(join(at.tree, 'two'), join(at.tree, 'three'));
  await saveAt(t, at, '2030-02-03T08:00:00Z');
  return at;
}

test('a word finds the snapshot that it means', async (t) => {
  const at = await threeSnapshots(t);
  const nameIn = async (word: string, TZ = 'UTC') =>
    (await lbsOk(t, ['ls', '-R', `--store=${at.store}`, word], { env: { TZ } })).stdout;
  t.is(await nameIn('latest'), '.\nthree\n');
  t.is(await nameIn('latest~2'), '.\none\n');
  t.is(await nameIn('20300102'), '.\ntwo\n');
  t.is(await nameIn('before:2030-01-02'), '.\none\n');
  t.is(await nameIn('before:2030-01-03'), '.\ntwo\n');
  t.is(await nameIn('before:2030-01-02T12:30'), '.\none\n', 'not what was made just then');
  t.is(await nameIn('before:2030-01-02T12:30:01'), '.\ntwo\n');
  // Noon in UTC is 13:00 in Berlin and 7:00 in New York.
  t.is(await nameIn('before:2030-01-02T13:30', 'Europe/Berlin'), '.\none\n');
  t.is(await nameIn('before:2030-01-02T13:31', 'Europe/Berlin'), '.\ntwo\n');
  t.is(await nameIn('before:2030-01-02T07:31', 'America/New_York'), '.\ntwo\n');
  t.is(await nameIn('before:2030-01-02T12:31Z', 'America/New_York'), '.\ntwo\n');
});

test('a word that means no snapshot, or several, is refused with the reason', async (t) => {
  const at = await threeSnapshots(t);
  const refused = async (code: number, word: string, ...options: string[]) =>
    (await lbsExits(t, code, ['ls', `--store=${at.store}`, ...options, word])).stderr;
  t.regex(await refused(2, '2030'), /"2030" could mean several snapshots: 20300101T000000, /);
  t.regex(await refused(10, '1999'), /there is no snapshot "1999"/);
  t.regex(await refused(10, 'latest~3'), /there is no snapshot "latest~3"/);
  t.regex(
    await refused(10, 'before:2030-01-01'),
    /no snapshot before 2030-01-01 00:00:00 \+0000 in .*\n +the oldest is 20300101T000000/,
  );
  for (const word of ['2030-02-30', '2030-13-01', '2030-01-01T24:00', 'yesterday', '']) {
    t.regex(
      await refused(2, `before:${word}`),
      /is not before: and a date that there is\n +write /,
    );
  }
  await saveAt(t, at, '2030-03-01T00:00:00Z', ['--scheme=other']);
  t.regex(await refused(2, 'before:2030-02-01'), /could mean several schemes.*\n.*--scheme=NAME/);
  const other = await refused(10, 'before:2030-02-01', '--scheme=other');
  t.regex(other, /the oldest is other-20300301T000000/);
});

test('a moment is a day, or a day and a time, that there is', (t) => {
  t.is(parseMoment('2030-01-02T12:30Z'), Date.UTC(2030, 0, 2, 12, 30) / 1000);
  t.is(parseMoment('2028-02-29Z'), Date.UTC(2028, 1, 29) / 1000);
  t.is(parseMoment('2030-01-02 12:30:15'), new Date(2030, 0, 2, 12, 30, 15).getTime() / 1000);
  for (const text of ['2030-02-29', '2030-00-01', '2030-1-1', '2030-01-01T1', '2030-01-01T00:60']) {
    t.is(parseMoment(text), undefined, text);
  }
});
