/** `lbs find` and `lbs history`: snapshots of a tree that was changed in known ways. */
import { createHash } from 'node:crypto';
import { appendFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { places, type Places } from '../helpers/places.ts';
import { jsonLines, lbsExits, lbsOk } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { OLD_S, saveAt, setTimes } from '../helpers/timed-series.ts';

const day = (number: number) => `2030-01-0${number}T00:00:00Z`;
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

/** `note` is `one` on days 1 and 2, `two!` on day 3, gone on day 4, and `one` again on day 5. */
async function fiveDays(t: ExecutionContext): Promise<Places> {
  const at = places(t);
  const many = Array.from({ length: 500 }, (_, number) => [`many/${number}`, `${number}`]);
  makeFiles(at.tree, { ...Object.fromEntries(many), 'docs/note': 'one', 'docs/other.tex': 'x' });
  setTimes(at.tree);
  await saveAt(t, at, day(1));
  writeFileSync(join(at.tree, 'many/7'), 'seven');
  setTimes(at.tree);
  await saveAt(t, at, day(2));
  writeFileSync(join(at.tree, 'docs/note'), 'two!');
  setTimes(at.tree);
  setTimes(join(at.tree, 'docs'), OLD_S + 1);
  await saveAt(t, at, day(3));
  rmSync(join(at.tree, 'docs/note'));
  setTimes(at.tree);
  await saveAt(t, at, day(4));
  writeFileSync(join(at.tree, 'docs/note'), 'one');
  setTimes(at.tree);
  await saveAt(t, at, day(5));
  return at;
}

test('history has every version of a path, and when it was gone', async (t) => {
  const at = await fiveDays(t);
  const args = ['history', `--store=${at.store}`];
  const one = sha256('one').slice(0, 12);
  const two = sha256('two!').slice(0, 12);
  t.deepEqual((await lbsOk(t, [...args, 'docs/note'])).stdout.trimEnd().split('\n'), [
    'SNAPSHOT         SIZE  CHANGED              SHA256',
    `20300101T000000     3  2001-09-09 01:46:40  ${one}`,
    `20300103T000000     4  2001-09-09 01:46:41  ${two}`,
    '20300104T000000     -  gone',
    `20300105T000000     3  2001-09-09 01:46:40  ${one}`,
  ]);
  const json = jsonLines(await lbsOk(t, [...args, '--json', '/docs/note/']));
  t.deepEqual(
    json.map((line) => [line['message_type'], line['snapshot_id'], line['last_snapshot_id']]),
    [
      ['version', '20300101T000000', '20300102T000000'],
      ['version', '20300103T000000', '20300103T000000'],
      ['gone', '20300104T000000', '20300104T000000'],
      ['version', '20300105T000000', '20300105T000000'],
    ],
  );
  t.is(json[1]?.['sha256'], sha256('two!'));
  const unchanged = (await lbsOk(t, [...args, 'many/8'])).stdout.trimEnd().split('\n');
  t.is(unchanged.length, 2);
  const nowhere = await lbsExits(t, 1, [...args, 'docs/not']);
  t.regex(nowhere.stderr, /docs\/not is in no snapshot\n +look for it by its name: lbs find /);
  t.regex((await lbsExits(t, 2, args)).stderr, /no path given/);
});

test('find says which snapshots hold a version', async (t) => {
  const at = await fiveDays(t);
  const find = async (...args: string[]) =>
    (await lbsOk(t, ['find', `--store=${at.store}`, ...args])).stdout;
  const line = (first: number, last: number, count: number, rest: string) =>
    `2030010${first}T000000  2030010${last}T000000  ${count}  ${rest}\n`;
  const one = '           3  2001-09-09 01:46:40  docs/note';
  const two = '           4  2001-09-09 01:46:41  docs/note';
  t.is(await find('--name=n*te'), line(1, 5, 3, one) + line(3, 3, 1, two));
  t.is(await find('--name=*e', 'docs'), line(1, 5, 3, one) + line(3, 3, 1, two));
  t.is(await find('--newer=2001-09-09T01:46:40', '--size=4'), line(3, 3, 1, two));
  t.is(await find(`--sha256=${sha256('two!')}`), line(3, 3, 1, two));
  t.is(await find(`--sha256=${sha256('two!').slice(0, 20).toUpperCase()}`), line(3, 3, 1, two));
  const seven = '           5  2001-09-09 01:46:40  many/7';
  t.is(await find('--size=+4'), line(2, 5, 4, seven));
  t.is((await find('--size=-4', 'many')).trimEnd().split('\n').length, 500);
  const old = '           1  2001-09-09 01:46:40  many/7';
  t.is(await find('many/7'), line(1, 1, 1, old) + line(2, 5, 4, seven));
  t.is(await find('--name=*.nothing'), '');
  const [json] = jsonLines(await lbsOk(t, ['find', `--store=${at.store}`, '--json', '--size=+4']));
  t.like(json, { message_type: 'match', path: 'many/7', type: 'file', size: 5 });
  t.deepEqual(
    json?.['snapshots'],
    [2, 3, 4, 5].map((number) => `2030010${number}T000000`),
  );
});

test('schemes are told apart', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { a: 'one' });
  setTimes(at.tree);
  await saveAt(t, at, day(1), ['--scheme=x']);
  await saveAt(t, at, day(2), ['--scheme=y']);
  rmSync(join(at.tree, 'a'));
  await saveAt(t, at, day(3), ['--scheme=x']);
  const history = async (...args: string[]) => {
    const { stdout } = await lbsOk(t, ['history', `--store=${at.store}`, ...args, 'a']);
    return stdout
      .split('\n')
      .slice(1, -1)
      .map((line) => line.replaceAll(/ +/g, ' '));
  };
  const one = `3 2001-09-09 01:46:40 ${sha256('one').slice(0, 12)}`;
  const ofX = [`x-20300101T000000 ${one}`, 'x-20300103T000000 - gone'];
  t.deepEqual(await history(), [...ofX, `y-20300102T000000 ${one}`]);
  t.deepEqual(await history('--scheme=x'), ofX);
  const found = await lbsOk(t, ['find', `--store=${at.store}`, '--scheme=y', 'a']);
  t.regex(found.stdout, /^y-20300102T000000 {2}y-20300102T000000 {2}1 [^\n]*\n$/);
  const none = await lbsExits(t, 10, ['find', `--store=${at.store}`, '--scheme=z', 'a']);
  t.regex(none.stderr, /has no snapshots of the scheme "z"/);
});

test('damaged snapshots are named, and do not hide the others', async (t) => {
  const at = await fiveDays(t);
  const file = readdirSync(at.store).find((name) => name.endsWith('20300104T000000.lbs')) ?? '';
  appendFileSync(join(at.store, file), 'Root: nothing\n');
  const run = await lbsExits(t, 4, ['history', `--store=${at.store}`, 'docs/note']);
  t.regex(run.stderr, /damaged: .*20300104T000000/);
  t.false(run.stdout.includes('gone'), 'it is not known whether it was');
});

test('a path that may be in what is damaged is not said to be in no snapshot', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { one: '1' });
  await saveAt(t, at, day(1));
  for (const name of readdirSync(at.store).filter((file) => /\.tar/.test(file))) {
    writeFileSync(join(at.store, name), 'x');
  }
  const run = await lbsExits(t, 4, ['history', `--store=${at.store}`, 'one']);
  t.regex(run.stderr, /damaged: 20300101T000000: /);
  t.regex(run.stderr, /^lbs: one: not found in what can be read of the snapshots\n +it may be /m);
  const compared = ['compare', `--store=${at.store}`, 'latest', 'one'];
  const live = await lbsExits(t, 4, compared, { cwd: at.tree });
  t.regex(live.stderr, /^lbs: one: not found in what can be read of the metadata of /m);
});

test('wrong use of find is refused', async (t) => {
  const at = places(t);
  const refused = async (...args: string[]) =>
    (await lbsExits(t, 2, ['find', `--store=${at.store}`, ...args])).stderr;
  t.regex(await refused(), /nothing to find was given\n/);
  t.regex(await refused('--size=big'), /--size="big" is not a size\n +write \+1M/);
  t.regex(await refused('--newer=2030-02-30'), /is not a date that there is\n/);
  t.regex(await refused('--sha256=xyz'), /is no SHA-256\n/);
  t.regex(await refused('--name=a/b'), /has a slash/);
  t.regex(await refused('a', 'b'), /2 arguments are too many/);
  const empty = await lbsExits(t, 10, ['find', `--store=${at.store}`, '--name=x']);
  t.regex(empty.stderr, /has no snapshots yet/);
});
