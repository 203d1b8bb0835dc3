/** `lbs forget`: what it decides, what it removes, and what it leaves alone. */
import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { multiply, nameAt } from '../helpers/many-snapshots.ts';
import { backupOptions, giveToOrdinaryUser, places, type Places } from '../helpers/places.ts';
import {
  jsonLines,
  lbsExits,
  lbsOk,
  ordinaryUserCanRun,
  type RunOptions,
} from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { addedFiles, snapshotNames, storeState } from '../helpers/store-state.ts';
import { saveAt } from '../helpers/timed-series.ts';

/** Snapshots of a small tree at those times. */
async function saved(
  t: ExecutionContext,
  times: readonly string[],
  options: readonly string[] = [],
): Promise<Places> {
  const at = places(t);
  makeFiles(at.tree, { one: 'one\n' });
  for (const time of times) await saveAt(t, at, `${time.replace(' ', 'T')}:00:00Z`, options);
  return at;
}

const two = (number: number) => String(number).padStart(2, '0');

/** Text of a dry run without the last line. */
async function decisions(
  t: ExecutionContext,
  at: Places,
  rules: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const args = ['forget', `--store=${at.store}`, '-n', ...rules];
  const { stdout } = await lbsOk(t, args, options);
  return stdout.replace(/^\d+ kept, \d+ would be forgotten\n$/m, '');
}

/** The times that a dry run with these rules would keep. */
async function keptBy(
  t: ExecutionContext,
  at: Places,
  rules: readonly string[],
  options: RunOptions = {},
): Promise<string[]> {
  const text = await decisions(t, at, rules, options);
  return [...text.matchAll(/^keep {4}(\d{4})(\d\d)(\d\d)T(\d\d)/gm)].map(
    ([, year, month, day, hour]) => `${year}-${month}-${day} ${hour}`,
  );
}

test('every decision is printed with its reasons, and then carried out', async (t) => {
  const at = await saved(t, ['2020-10-31 03', '2020-11-18 03', '2020-11-19 03', '2020-11-20 03']);
  const rules = ['--keep-daily=2', '--keep-monthly=12'];
  const before = storeState(at.store);
  const lines = `keep    20201031T030000  monthly 2
forget  20201118T030000  no rule keeps it
keep    20201119T030000  daily 2
keep    20201120T030000  the last complete one; the last one; daily 1; monthly 1
`;
  const args = ['forget', ...backupOptions(at), ...rules];
  const dry = await lbsOk(t, [...args, '--dry-run']);
  t.is(dry.stdout, `${lines}3 kept, 1 would be forgotten\n`);
  t.is(dry.stderr, '');
  t.deepEqual(storeState(at.store), before);
  const done = await lbsOk(t, args);
  t.is(done.stdout, `${lines}3 kept, 1 forgotten\n`);
  const after = storeState(at.store);
  const gone = [...before.keys()].filter((name) => !after.has(name));
  t.deepEqual(
    gone,
    ['lbs', 'sha1sums', 'sha256sums'].map((kind) => `snapshot-20201118T030000.${kind}`),
  );
  const [note = '', ...others] = addedFiles(before, after);
  t.regex(note, /^forgotten-[0-9a-f-]{36}\.note$/);
  t.deepEqual(others, []);
  for (const [name, state] of before) if (!gone.includes(name)) t.deepEqual(after.get(name), state);
  await lbsOk(t, ['verify', '--data', `--store=${at.store}`]);
});

test('each rule keeps what it says', async (t) => {
  const at = await saved(t, ['2019-12-30 03']);
  const january = Array.from({ length: 31 }, (_, day) => `2020-01-${two(day + 1)} 12`);
  const last = ['2020-02-10 08', '2020-02-10 09', '2020-02-11 08'];
  multiply(at.store, ['2018-06-01 12', '2019-06-01 12', ...january, ...last]);
  const newest = '2020-02-11 08';
  const kept = (...rules: string[]) => keptBy(t, at, rules);
  t.deepEqual(await kept('--keep-last=2'), ['2020-02-10 09', newest]);
  t.deepEqual(await kept('--keep-hourly=2'), ['2020-02-10 09', newest]);
  t.deepEqual(await kept('--keep-daily=3'), ['2020-01-31 12', '2020-02-10 09', newest]);
  // 10 and 11 February are in one week; 27 January to 2 February, and so on.
  t.deepEqual(await kept('--keep-weekly=3'), ['2020-01-26 12', '2020-01-31 12', newest]);
  t.deepEqual(await kept('--keep-monthly=3'), ['2019-12-30 03', '2020-01-31 12', newest]);
  t.deepEqual(await kept('--keep-yearly=3'), ['2018-06-01 12', '2019-12-30 03', newest]);
  t.deepEqual(await kept('--keep-within=1d'), ['2020-02-10 08', '2020-02-10 09', newest]);
  t.deepEqual(await kept('--keep-within-hourly=24h'), ['2020-02-10 08', '2020-02-10 09', newest]);
  t.deepEqual(await kept('--keep-within-daily=1d'), ['2020-02-10 09', newest]);
  t.deepEqual(await kept('--keep-within-weekly=2w2d'), ['2020-01-26 12', '2020-01-31 12', newest]);
  t.deepEqual(await kept('--keep-within-monthly=1m15d'), [
    '2019-12-30 03',
    '2020-01-31 12',
    newest,
  ]);
  t.deepEqual(await kept('--keep-within-yearly=1y'), ['2019-12-30 03', newest]);
  t.is((await kept('--keep-last=all')).length, 37);
  // They add up.
  t.deepEqual(await kept('--keep-last=1', '--keep-yearly=2'), ['2019-12-30 03', newest]);
  await lbsOk(t, ['tag', `--store=${at.store}`, nameAt('2020-01-05 12'), 'good']);
  await lbsOk(t, ['tag', `--store=${at.store}`, nameAt('2020-01-07 12'), 'fine']);
  await lbsOk(t, ['hold', `--store=${at.store}`, nameAt('2020-01-09 12')]);
  t.deepEqual(await kept('--keep-tag=good', '--keep-tag=fine', '--keep-tag=none'), [
    '2020-01-05 12',
    '2020-01-07 12',
    '2020-01-09 12',
    newest,
  ]);
});

test('days are those of the local time zone', async (t) => {
  const at = await saved(t, ['2020-07-01 21']);
  multiply(at.store, ['2020-07-01 23', '2020-07-02 10']);
  const rules = ['--keep-daily=2'];
  t.deepEqual(await keptBy(t, at, rules), ['2020-07-01 23', '2020-07-02 10']);
  const env = { TZ: 'Europe/Berlin' };
  t.deepEqual(await keptBy(t, at, rules, { env }), ['2020-07-01 21', '2020-07-02 10']);
});

test('schemes are judged apart, and --scheme leaves the others alone', async (t) => {
  const at = await saved(t, ['2020-01-01 03', '2020-01-02 03']);
  for (const day of [1, 2]) {
    await saveAt(t, at, `2020-01-0${day}T05:00:00Z`, ['--scheme=home']);
  }
  const store = `--store=${at.store}`;
  const json = jsonLines(await lbsOk(t, ['forget', store, '--keep-last=1', '-n', '--json']));
  t.deepEqual(
    json.map((line) => [line['scheme'], line['snapshot_id'], line['keep']]),
    [
      [null, '20200101T030000', false],
      [null, '20200102T030000', true],
      ['home', 'home-20200101T050000', false],
      ['home', 'home-20200102T050000', true],
      [undefined, undefined, undefined],
    ],
  );
  const only = ['forget', ...backupOptions(at), '--keep-last=1', '--scheme=home'];
  await lbsOk(t, only);
  t.deepEqual(snapshotNames(at.store), [
    '20200101T030000',
    '20200102T030000',
    'home-20200102T050000',
  ]);
  const run = await lbsExits(t, 10, ['forget', store, '--keep-last=1', '--scheme=hom']);
  t.regex(run.stderr, /there are no snapshots of scheme "hom"/);
});

test('--json has every decision and a summary', async (t) => {
  const at = await saved(t, ['2020-01-01 03', '2020-01-02 03']);
  const args = ['forget', ...backupOptions(at), '--keep-last=1', '--json'];
  t.deepEqual(jsonLines(await lbsOk(t, args)), [
    {
      message_type: 'decision',
      snapshot_id: '20200101T030000',
      scheme: null,
      keep: false,
      reasons: ['no rule keeps it'],
    },
    {
      message_type: 'decision',
      snapshot_id: '20200102T030000',
      scheme: null,
      keep: true,
      reasons: ['the last complete one', 'the last one', 'last 1'],
    },
    { message_type: 'summary', kept: 1, forgotten: 1, dry_run: false },
  ]);
});

test('-q says nothing, but a dry run says what would be done', async (t) => {
  const at = await saved(t, ['2020-01-01 03', '2020-01-02 03']);
  const args = ['forget', ...backupOptions(at), '--keep-last=1', '-q'];
  t.regex((await lbsOk(t, [...args, '-n'])).stdout, /^forget /m);
  const run = await lbsOk(t, args);
  t.is(run.stdout + run.stderr, '');
  t.deepEqual(snapshotNames(at.store), ['20200102T030000']);
});

test('snapshots can be named, and nothing else goes then', async (t) => {
  const at = await saved(t, ['2020-01-01 03', '2020-01-02 03', '2020-01-03 03']);
  const args = ['forget', ...backupOptions(at)];
  const run = await lbsOk(t, [...args, 'latest~1', '20200102']);
  t.is(run.stdout, 'forget  20200102T030000  named\n0 kept, 1 forgotten\n');
  t.deepEqual(snapshotNames(at.store), ['20200101T030000', '20200103T030000']);
  await lbsOk(t, [...args, 'latest']);
  const before = storeState(at.store);
  const last = await lbsExits(t, 2, [...args, 'latest']);
  t.regex(last.stderr, /20200101T030000 is the last complete snapshot of its scheme/);
  t.deepEqual(storeState(at.store), before);
});

test('a held snapshot is not forgotten, not even when it is named', async (t) => {
  const at = await saved(t, ['2020-01-01 03', '2020-01-02 03', '2020-01-03 03']);
  const store = `--store=${at.store}`;
  await lbsOk(t, ['hold', store, '20200101']);
  const before = storeState(at.store);
  const run = await lbsExits(t, 2, ['forget', store, '20200102', '20200101']);
  t.regex(run.stderr, /20200101T030000 is held/);
  t.regex(run.stderr, /lbs release 20200101T030000/);
  t.deepEqual(storeState(at.store), before);
  t.regex(await decisions(t, at, ['--keep-last=1']), /^keep {4}20200101T030000 {2}held$/m);
  await lbsOk(t, ['release', store, '20200101']);
  await lbsOk(t, ['tag', store, '20200101', 'a', 'b']);
  await lbsOk(t, ['forget', store, '--keep-last=1']);
  const left = readdirSync(at.store).filter((name) => name.startsWith('snapshot-'));
  t.is(left.length, 3, 'its notes went with it');
});

test('rules that mean nothing are refused before anything is done', async (t) => {
  const at = await saved(t, ['2020-01-01 03', '2020-01-02 03']);
  const store = `--store=${at.store}`;
  const before = storeState(at.store);
  const refused = async (args: readonly string[], words: RegExp) => {
    t.regex((await lbsExits(t, 2, ['forget', ...args])).stderr, words);
  };
  await refused([store], /nothing to keep was given/);
  await refused([store, '--keep-last=0', '--keep-daily=0'], /nothing to keep was given/);
  await refused([store, '--keep-last=-1'], /--keep-last="-1" is not a number/);
  await refused([store, '--keep-within=3'], /--keep-within="3" is not a duration/);
  await refused([store, '--keep-tag=a/b'], /"a\/b" is not a usable tag/);
  await refused([store, '--keep-last=1', 'latest'], /both rules and snapshots/);
  await refused(['--keep-last=1'], /no store given/);
  t.deepEqual(storeState(at.store), before);
  await lbsExits(t, 10, ['forget', store, '20190101']);
  await lbsExits(t, 10, ['forget', `--store=${at.target}`, '--keep-last=1']);
  // An unmounted disk looks like this.
  const empty = await lbsExits(t, 10, ['forget', `--store=${at.tree}`, '--keep-last=1']);
  t.regex(empty.stderr, /there are no snapshots in /);
});

test('rules of the configuration are for runs that name no snapshots', async (t) => {
  const at = await saved(t, ['2020-01-01 03', '2020-01-02 03']);
  multiply(at.store, ['2020-01-03 03', '2020-01-04 03', '2020-01-05 03']);
  const config = join(at.base, 'config');
  const text = `store = ${at.store}\nlocaldb = ${at.localdb}\nkeep-daily = 3\nkeep-tag = a\nkeep-tag = b\n`;
  writeFileSync(config, text, { mode: 0o600 });
  const env = { LBS_CONFIG: config };
  await lbsOk(t, ['tag', '20200101', 'b'], { env });
  const kept = (...rules: string[]) => keptBy(t, at, rules, { env });
  const day = (number: number) => `2020-01-0${number} 03`;
  const [tagged, second, third, fourth, fifth] = [day(1), day(2), day(3), day(4), day(5)] as const;
  t.deepEqual(await kept(), [tagged, third, fourth, fifth]);
  // The command line wins for an option, and adds others.
  t.deepEqual(await kept('--keep-daily=1'), [tagged, fifth]);
  t.deepEqual(await kept('--keep-last=4'), [tagged, second, third, fourth, fifth]);
  const { stdout } = await lbsOk(t, ['forget', 'latest'], { env });
  t.is(stdout, 'forget  20200105T030000  named\n0 kept, 1 forgotten\n');
  await lbsExits(t, 2, ['forget', '--keep-daily=3', 'latest'], { env });
  await lbsOk(t, ['forget', '-q'], { env });
  t.deepEqual(snapshotNames(at.store).length, 4);
  writeFileSync(config, `store = ${at.store}\nkeep-daily = many\n`, { mode: 0o600 });
  t.regex((await lbsExits(t, 2, ['forget'], { env })).stderr, /"many" is not a number/);
  await lbsOk(t, ['list'], { env });
});

test('a snapshot with warnings does not count as complete', async (t) => {
  if (!ordinaryUserCanRun(t)) return;
  const at = places(t, 'ordinary');
  makeFiles(at.tree, { one: 'one\n', shut: 'shut\n' });
  giveToOrdinaryUser(at.tree);
  const save = async (code: number, day: number) => {
    const env = { LBS_TEST_CLOCK_S: String(Date.parse(`2020-01-0${day}T03:00:00Z`) / 1000) };
    const options = { cwd: at.tree, user: 'ordinary', env } as const;
    await lbsExits(t, code, [...backupOptions(at), '.'], options);
  };
  await save(0, 1);
  await save(0, 2);
  chmodSync(join(at.tree, 'shut'), 0);
  await save(3, 3);
  await save(3, 4);
  t.is(
    await decisions(t, at, ['--keep-daily=1']),
    `forget  20200101T030000  no rule keeps it
keep    20200102T030000  the last complete one; daily 1
keep    20200103T030000  daily, but incomplete: not counted
keep    20200104T030000  the last one; daily, but incomplete: not counted
`,
  );
  t.is(
    await decisions(t, at, ['--keep-tag=none']),
    `forget  20200101T030000  no rule keeps it
keep    20200102T030000  the last complete one
forget  20200103T030000  no rule keeps it
keep    20200104T030000  the last one
`,
  );
  // Named ones may go, but not so that no complete one is left.
  const args = ['forget', ...backupOptions(at)];
  const run = await lbsExits(t, 2, [...args, '20200101', '20200102', '20200104']);
  t.regex(run.stderr, /20200102T030000 is the last complete snapshot/);
  await lbsOk(t, [...args, '20200101', '20200103', '20200104']);
  t.deepEqual(snapshotNames(at.store), ['20200102T030000']);
});

test('a snapshot that lacks a segment does not count as complete', async (t) => {
  const at = await saved(t, ['2020-01-01 03']);
  makeFiles(at.tree, { two: 'two\n' });
  await saveAt(t, at, '2020-01-02T03:00:00Z');
  const segments = (name: string): string[] =>
    readFileSync(join(at.store, `snapshot-${name}.lbs`), 'utf8').match(/^ {4}.*$/gm) ?? [];
  const first = segments('20200101T030000');
  const [own = ''] = segments('20200102T030000').filter((segment) => !first.includes(segment));
  rmSync(join(at.store, `${own.trim()}.tar.zst`));
  t.regex(
    await decisions(t, at, ['--keep-last=1']),
    /^keep {4}20200101T030000 {2}the last complete one; last 1\nkeep {4}20200102T030000 {2}the last one; last, but incomplete: not counted\n$/,
  );
});

test('a snapshot that cannot be read is left alone, unless it is named', async (t) => {
  const at = await saved(t, ['2020-01-01 03', '2020-01-02 03', '2020-01-03 03']);
  const broken = join(at.store, 'snapshot-20200102T030000.lbs');
  const before = readFileSync(broken, 'utf8');
  for (const [text, words] of [
    ['', /left alone: .*no Root/],
    [before.replace('v0.6', 'v1.7'), /left alone: .*newer than this program/],
    [before.replace(/^Date: .*$/m, 'Date: 2019-01-01 00:00:00 +0000'), /descriptor is of 2019/],
    [before.replace(/^Root:/m, 'Scheme: a\u001b[2Jb\nRoot:'), /descriptor is of scheme "a\\x1b/],
  ] as const) {
    writeFileSync(broken, text);
    const said = await decisions(t, at, ['--keep-last=1']);
    t.regex(said, /^forget {2}20200101T030000 {2}no rule keeps it$/m);
    t.regex(/^keep {4}20200102T030000 {2}(.*)$/m.exec(said)?.[1] ?? '', words);
  }
  await lbsOk(t, ['forget', ...backupOptions(at), '20200102']);
  t.deepEqual(snapshotNames(at.store), ['20200101T030000', '20200103T030000']);
});

test('dates that the arrival contradicts push nothing out', async (t) => {
  const at = await saved(t, ['2020-01-01 03', '2020-01-02 03']);
  // Three hundred years on, whatever the clock of the machine that tests says.
  multiply(at.store, ['2320-01-01 03', '2320-01-02 03']);
  const reason = 'its date is after its arrival, so it does not count';
  t.is(
    await decisions(t, at, ['--keep-last=1']),
    `forget  20200101T030000  no rule keeps it
keep    20200102T030000  the last complete one; the last one; last 1
keep    23200101T030000  ${reason}
keep    23200102T030000  ${reason}
`,
  );
  const env = { LBS_TEST_CLOCK_S: String(Date.parse('2330-01-01T00:00:00Z') / 1000) };
  t.regex(
    await decisions(t, at, ['--keep-last=1'], { env }),
    /^keep {4}20200102T030000 .* last 1$/m,
  );
});
