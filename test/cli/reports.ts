/** What people and programs read of a run: which line goes where, and what is held back. */
import { Writable } from 'node:stream';
import test from 'ava';
import type { BackupSummary } from '../../src/backup/backup-options.ts';
import type { Verbosity } from '../../src/cli/command-report.ts';
import { JsonReport } from '../../src/cli/json-report.ts';
import { Output } from '../../src/cli/output.ts';
import { ProgressLine } from '../../src/cli/progress-line.ts';
import { TextReport } from '../../src/cli/text-report.ts';
import type { ReportEvent } from '../../src/report.ts';
import { bytePath } from '../../src/std/byte-path.ts';

const SUMMARY: BackupSummary = {
  snapshot: '20261120T091421',
  dryRun: false,
  entries: 10,
  directories: 1,
  files: 7,
  filesNew: 1,
  filesChanged: 2,
  filesUnchanged: 1234,
  tags: [],
  stores: [],
  bytes: 4096,
  bytesRead: 2048,
  bytesAdded: 3000,
  dataBytesAdded: 2048,
  bytesStored: 999,
  segmentsStored: 2,
  warnings: 0,
  tampered: 0,
  durationS: 61,
};

/** An output that remembers its lines. */
function memory(): { output: Output; text: () => string } {
  const chunks: string[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk.toString());
      done();
    },
  });
  return { output: new Output(stream), text: () => chunks.join('') };
}

function textReport(verbosity: Verbosity = 'normal', hasProgress = false) {
  const [out, err] = [memory(), memory()];
  const progress = hasProgress
    ? new ProgressLine({ write: (text) => err.output.raw(text), columns: 80 }, () => 0)
    : undefined;
  const report = new TextReport({
    command: 'backup',
    out: out.output,
    err: err.output,
    verbosity,
    isDryRun: false,
    progress,
  });
  return { report, out: out.text, err: err.text };
}

const stored: ReportEvent = {
  type: 'stored',
  path: bytePath(Buffer.from('a\xff\n', 'latin1')),
  status: 'partial',
  known: true,
  sizeBytes: 5,
};

const unreadable: ReportEvent = {
  type: 'warning',
  warning: { code: 'unreadable', path: bytePath('x'), message: 'cannot open: Permission denied' },
};

const notOwned = (path: string): ReportEvent => ({
  type: 'warning',
  warning: { code: 'owner', path: bytePath(path), message: 'Operation not permitted' },
});

test('the summary says what happened', (t) => {
  const { report, out, err } = textReport();
  report.report(stored);
  report.backupDone(SUMMARY);
  t.is(err(), '');
  t.deepEqual(out().split('\n'), [
    'Snapshot: 20261120T091421',
    'Files:    1 new, 2 changed, 1,234 unchanged; 1 directory',
    'Read:     2.00 KiB of 4.00 KiB',
    'Added:    2.93 KiB, stored as 999 B in 2 segments',
    'Time:     1 min 01 s',
    '',
  ]);
});

test('verbose names each stored file with its status word', (t) => {
  const { report, out } = textReport('verbose');
  report.report(stored);
  t.is(out(), 'a\\xff\\x0a [partial]\n');
});

test('quiet says nothing, unless something is wrong', (t) => {
  const calm = textReport('quiet');
  calm.report.report(stored);
  calm.report.report({ type: 'note', message: 'by the way' });
  calm.report.backupDone(SUMMARY);
  t.is(calm.out() + calm.err(), '');
  const wrong = textReport('quiet');
  wrong.report.report(unreadable);
  wrong.report.backupDone({ ...SUMMARY, warnings: 1 });
  t.is(wrong.out(), '');
  t.regex(
    wrong.err(),
    /^lbs: warning: x: cannot open: Permission denied\nlbs: 1 warning: .*code 3/,
  );
});

test('warnings of a restore are held back and told by kind', (t) => {
  const { report, err } = textReport();
  for (let at = 0; at < 25; at++) report.report(notOwned(`home/${at}`));
  t.is(err(), '');
  report.close();
  const lines = err().trimEnd().split('\n');
  t.is(lines.length, 12);
  t.is(lines[0], 'lbs: owner or group not set:');
  t.is(lines[1], '  home/0: Operation not permitted');
  t.is(lines[11], '  and 15 more; --verbose names each');
  report.close();
  t.is(err().trimEnd().split('\n').length, 12, 'told twice');
  const verbose = textReport('verbose');
  for (let at = 0; at < 25; at++) verbose.report.report(notOwned(`home/${at}`));
  t.is(verbose.err().trimEnd().split('\n').length, 25);
});

test('progress is taken away before any other line', (t) => {
  const { report, err } = textReport('normal', true);
  report.report({
    type: 'progress',
    progress: { files: 1, bytes: 2, totalFiles: undefined, totalBytes: undefined, path: undefined },
  });
  report.report(unreadable);
  t.is(err(), '\r\x1b[K0:00  1 file  2 B\r\x1b[Klbs: warning: x: cannot open: Permission denied\n');
});

test('damage is a result of verify and trouble of a restore', (t) => {
  for (const command of ['verify', 'restore'] as const) {
    const [out, err] = [memory(), memory()];
    const options = {
      out: out.output,
      err: err.output,
      isDryRun: false,
      progress: undefined,
    } as const;
    const report = new TextReport({ command, verbosity: 'quiet', ...options });
    report.report({
      type: 'damage',
      damage: { what: 'entry', name: 'a', path: bytePath('a'), snapshot: 's', message: 'gone' },
    });
    t.is(out.text(), command === 'verify' ? 'damaged: s: a: gone\n' : '');
    t.is(err.text(), command === 'verify' ? '' : 'lbs: damaged: s: a: gone\n');
  }
});

function jsonLines(verbosity: Verbosity, events: readonly ReportEvent[]): unknown[] {
  const { output, text } = memory();
  const report = new JsonReport({ command: 'backup', out: output, verbosity, hasStatus: true });
  for (const event of events) report.report(event);
  return text()
    .split('\n')
    .filter((line) => line !== '')
    .map((line): unknown => JSON.parse(line));
}

test('JSON has the exact bytes of a name in a twin', (t) => {
  t.deepEqual(jsonLines('verbose', [stored]), [
    {
      message_type: 'verbose_status',
      action: 'modified',
      item: 'a\ufffd\n',
      item_escaped: 'a%ff%0a',
      data_size: 5,
      status: 'partial',
    },
  ]);
  t.deepEqual(jsonLines('normal', [stored]), []);
});

test('JSON has warnings as errors, and a status at most once a second', (t) => {
  const progress: ReportEvent = {
    type: 'progress',
    progress: { files: 1, bytes: 5, totalFiles: 2, totalBytes: 10, path: bytePath('p') },
  };
  const [status, error, ...others] = jsonLines('normal', [progress, progress, unreadable]);
  t.like(status, {
    message_type: 'status',
    percent_done: 0.5,
    total_files: 2,
    files_done: 1,
    total_bytes: 10,
    bytes_done: 5,
    current_files: ['p'],
  });
  t.deepEqual(error, {
    message_type: 'error',
    error: { message: 'cannot open: Permission denied' },
    during: 'archival',
    item: 'x',
    code: 'unreadable',
  });
  t.deepEqual(others, []);
});

test('the summary in JSON has the names that wrappers of restic read', (t) => {
  const { output, text } = memory();
  const report = new JsonReport({
    command: 'backup',
    out: output,
    verbosity: 'quiet',
    hasStatus: false,
  });
  report.backupDone(SUMMARY);
  t.like(JSON.parse(text()), {
    message_type: 'summary',
    files_new: 1,
    files_changed: 2,
    files_unmodified: 1234,
    data_added: 3000,
    data_added_packed: 999,
    total_files_processed: 7,
    total_bytes_processed: 4096,
    total_duration: 61,
    snapshot_id: '20261120T091421',
    dry_run: false,
  });
});
