/**
 * Upload scripts that fail at every file, and in every way: nothing is remembered that was not
 * stored, and the next run makes a whole store of it. Most runs are of the library, in this
 * process, because a process for each would take half a minute.
 */
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import * as lbs from 'lbs';
import { type Places, places } from '../helpers/places.ts';
import { PROJECT, lbsExits } from '../helpers/run-lbs.ts';
import { makeSmallTree } from '../helpers/small-tree.ts';
import { snapshotNames } from '../helpers/store-state.ts';
import { remembersOnlyWhatIsThere } from '../helpers/uploads.ts';

const UPLOADS = join(PROJECT, 'test', 'fixtures', 'uploads');
/** Segments of data and metadata, two recovery files, two lists, descriptor. */
const FILES = 7;

type Upload = Pick<lbs.UploadOptions, 'command' | 'protocol'>;

const byLines = (at: Places, ...words: readonly string[]): Upload => ({
  command: `exec ${UPLOADS}/by-lines ${at.store} flat ${words.join(' ')}`,
});
const byCalls = (at: Places, failing: number): Upload => ({
  command: `${UPLOADS}/by-calls ${at.store} flat ${failing} 2>/dev/null`,
  protocol: 'call',
});

function backup({ localdb, tree, base }: Places, upload: Upload): Promise<lbs.BackupSummary> {
  return lbs.backup({ upload: { ...upload, tmpdir: base }, localdb, paths: [lbs.bytePath(tree)] });
}

/** Fails once, then succeeds, with a whole store as the result. */
async function failsOnce(
  t: ExecutionContext,
  at: Places,
  uploads: { readonly bad: Upload; readonly good: Upload },
): Promise<lbs.LbsError> {
  makeSmallTree(at.tree);
  const error = await t.throwsAsync(backup(at, uploads.bad), { instanceOf: lbs.LbsError });
  if (error === undefined) throw new Error('the run did not fail');
  t.is(error.code, 'upload-failed');
  t.is(lbs.exitCodeOf(error), 1);
  remembersOnlyWhatIsThere(t, at);
  await backup(at, uploads.good);
  remembersOnlyWhatIsThere(t, at);
  t.deepEqual((await lbs.verify({ store: at.store, depth: 'data' })).damage, []);
  return error;
}

for (let n = 1; n <= FILES; n++) {
  test(`a script that fails at file ${n} of ${FILES} makes no snapshot, and the next run does`, async (t) => {
    const [lines, calls] = [places(t), places(t)];
    await failsOnce(t, lines, { bad: byLines(lines, String(n), 'ERR'), good: byLines(lines) });
    await failsOnce(t, calls, { bad: byCalls(calls, n), good: byCalls(calls, 0) });
    for (const { store } of [lines, calls]) t.is(snapshotNames(store).length, 1);
  });
}

for (const [how, words] of [
  ['ok', /answered "ok", where only OK is good/],
  ['OK.', /answered "OK\.", where only OK/],
  ['', /answered "", where only OK/],
  ['OK\\nOK', /answered "OK.+OK", where only OK/],
  ['ends', /exited with 0 before it had answered/],
  ['exits', /exited with 7 before it had answered/],
  ['half', /exited with 7 before it had answered/],
  ['dies', /killed by SIGKILL before it had answered/],
  ['hangs', /closed its standard output before it had answered/],
] as const) {
  test(`a script whose answer is wrong (${JSON.stringify(how)}) ends the run`, async (t) => {
    const at = places(t);
    const error = await failsOnce(t, at, { bad: byLines(at, '2', `'${how}'`), good: byLines(at) });
    t.regex(error.message, words);
    t.true(error.message.includes('by-lines'));
  });
}

test('a script that fails at its end has stored a snapshot, which is not counted', async (t) => {
  const at = places(t);
  const error = await failsOnce(t, at, { bad: byLines(at, 'late'), good: byLines(at) });
  t.regex(error.message, /is stored, but in doubt: .* exited with 7 at its end/);
  t.is(snapshotNames(at.store).length, 2);
});

test('a command that is not there is told as the program tells all errors', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  const args = ['--upload-script=no-such-script --fast', `--localdb=${at.localdb}`, at.tree];
  const { stderr } = await lbsExits(t, 1, args);
  t.regex(stderr, /^lbs: the upload script "no-such-script \.\.\." was not found$/m);
});
