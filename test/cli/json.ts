/** `--json`: every line of stdout is an object that wrappers of restic can read. */
import { join } from 'node:path';
import { rmSync, writeFileSync } from 'node:fs';
import test from 'ava';
import { backupOptions, places } from '../helpers/places.ts';
import {
  jsonLines,
  jsonMessage,
  lbsExits,
  lbsOk,
  ordinaryUserCanRun,
  restoreOk,
} from '../helpers/run-lbs.ts';
import { makeFiles, makeSmallTree } from '../helpers/small-tree.ts';
import { segmentFiles, snapshotNames } from '../helpers/store-state.ts';

const NOT_TEXT = Buffer.from([0x66, 0xff, 0x0a]);
const NOT_TEXT_ESCAPED = 'f%ff%0a';

test('a backup writes statuses, a line for each file, and a summary', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  writeFileSync(Buffer.concat([Buffer.from(`${at.tree}/`), NOT_TEXT]), 'x');
  const args = ['--json', '-v', '--progress', ...backupOptions(at), '.'];
  const run = await lbsOk(t, args, { cwd: at.tree });
  const lines = jsonLines(run);
  const types = new Set(lines.map((line) => line['message_type']));
  for (const type of types)
    t.true(['status', 'verbose_status', 'summary', 'note'].includes(String(type)));
  const summary = jsonMessage(run, 'summary');
  t.is(lines.at(-1)?.['message_type'], 'summary');
  t.is(summary['files_new'], 5);
  t.is(summary['files_changed'], 0);
  t.is(summary['files_unmodified'], 0);
  t.is(summary['total_files_processed'], 5);
  t.is(summary['total_bytes_processed'], 13 + 50_000 + 300_000 + 1);
  t.is(summary['snapshot_id'], snapshotNames(at.store)[0]);
  t.is(typeof summary['total_duration'], 'number');
  t.is(typeof summary['data_added'], 'number');
  const stored = lines.filter((line) => line['message_type'] === 'verbose_status');
  t.is(stored.length, 5);
  const odd = stored.find((line) => line['item_escaped'] !== undefined);
  t.is(odd?.['item_escaped'], NOT_TEXT_ESCAPED);
  t.true(String(odd?.['item']).includes('\ufffd'));
  t.is(stored.find((line) => line['item'] === 'letters/one')?.['item_escaped'], undefined);
});

test('warnings are error messages, and do not mix with the lines for people', async (t) => {
  if (!ordinaryUserCanRun(t)) return;
  const at = places(t, 'ordinary');
  makeFiles(at.tree, { open: 'x', shut: 'y' });
  const { chmodSync } = await import('node:fs');
  chmodSync(join(at.tree, 'shut'), 0);
  const args = ['--json', ...backupOptions(at), '.'];
  const run = await lbsExits(t, 3, args, { cwd: at.tree, user: 'ordinary' });
  const error = jsonMessage(run, 'error');
  t.is(error['item'], 'shut');
  t.is(error['during'], 'archival');
  t.regex(JSON.stringify(error['error']), /ermission/);
  t.is(jsonMessage(run, 'summary')['warnings'], 1);
});

test('a failure ends with an exit_error that has the code and the message', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  const missing = join(at.tree, 'missing');
  for (const [code, args] of [
    [1, [...backupOptions(at), missing]],
    [2, [...backupOptions(at), '--exlude=x', at.tree]],
    [10, ['restore', `--store=${at.store}`, 'latest', at.target]],
  ] as const) {
    const run = await lbsExits(t, code, [...args, '--json']);
    const texts = `${run.stdout}${run.stderr}`.split('\n').filter((line) => line.startsWith('{'));
    const last: Record<string, unknown> = JSON.parse(texts.at(-1) ?? '{}');
    t.is(last['message_type'], 'exit_error');
    t.is(last['code'], code);
    t.is(typeof last['message'], 'string');
  }
});

test('list, ls, restore and verify write JSON lines too', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  writeFileSync(Buffer.concat([Buffer.from(`${at.tree}/`), NOT_TEXT]), 'x');
  await lbsOk(t, [...backupOptions(at), '--scheme=s', '.'], { cwd: at.tree });
  const store = `--store=${at.store}`;
  const [snapshot] = jsonLines(await lbsOk(t, ['list', '--json', store]));
  t.is(snapshot?.['id'], snapshotNames(at.store)[0]);
  t.is(snapshot?.['scheme'], 's');
  const nodes = jsonLines(await lbsOk(t, ['ls', '-R', '--json', store, 'latest']));
  t.true(nodes.length >= 9);
  const odd = nodes.find((node) => node['path_escaped'] !== undefined);
  t.is(odd?.['path_escaped'], NOT_TEXT_ESCAPED);
  t.is(odd?.['size'], 1);
  const restored = jsonMessage(
    await restoreOk(t, ['--json', store, 'latest', at.target]),
    'summary',
  );
  t.is(restored['total_files'], 5);
  t.is(restored['files_restored'], 5);
  const again = jsonMessage(await restoreOk(t, ['--json', store, 'latest', at.target]), 'summary');
  t.is(again['files_skipped'], 5);
  t.is(again['bytes_restored'], 0);
  const verified = jsonMessage(await lbsOk(t, ['verify', '--json', '--data', store]), 'summary');
  t.is(verified['num_errors'], 0);
  t.is(verified['total_files'], 5);
  for (const file of segmentFiles(at.store)) rmSync(join(at.store, file));
  const damaged = await lbsExits(t, 4, ['verify', '--json', store]);
  t.true(Number(jsonMessage(damaged, 'summary')['num_errors']) > 0);
  t.true(jsonLines(damaged).some((line) => line['message_type'] === 'error'));
});

test('quiet says nothing when all is well, in both forms', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  const run = await lbsOk(t, ['-q', ...backupOptions(at), '.'], { cwd: at.tree });
  t.is(run.stdout + run.stderr, '');
  const store = `--store=${at.store}`;
  const restore = await lbsOk(t, ['restore', '-q', store, 'latest', at.target]);
  t.is(restore.stdout + restore.stderr, '');
  const verify = await lbsOk(t, ['verify', '-q', store]);
  t.is(verify.stdout + verify.stderr, '');
});

test('a listing that is cut off by its reader is no error', async (t) => {
  const at = places(t);
  // More than the 64 KiB that wait in a pipe, so that some of it is always written too late.
  const names = Array.from({ length: 1000 }, (_, n) => [`${'long'.repeat(50)}-${n}`, '']);
  makeFiles(at.tree, Object.fromEntries(names));
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  const through = ['/bin/sh', '-c', '{ "$@"; echo "code $?" >&2; } | head -n 3', 'sh'];
  const run = await lbsOk(t, ['ls', `--store=${at.store}`, 'latest'], { through });
  t.is(run.stdout.split('\n').length, 4);
  t.is(run.stderr, 'code 0\n');
});
