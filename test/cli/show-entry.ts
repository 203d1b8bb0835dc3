/** Entries and snapshots as `ls` and `list` show them. */
import test from 'ava';
import { snapshotTable } from '../../src/cli/command-list.ts';
import { modeText, rfc3339 } from '../../src/cli/show-entry.ts';
import type { SnapshotInfo } from '../../src/maintain/verify-options.ts';

test('modes are written as ls -l writes them', (t) => {
  t.is(modeText('f', 0o644), '-rw-r--r--');
  t.is(modeText('d', 0o1777), 'drwxrwxrwt');
  t.is(modeText('d', 0o1776), 'drwxrwxrwT');
  t.is(modeText('f', 0o6755), '-rwsr-sr-x');
  t.is(modeText('f', 0o6644), '-rwSr-Sr--');
  t.is(modeText('l', 0o777), 'lrwxrwxrwx');
  t.is(modeText('c', 0), 'c---------');
  t.is(modeText('s', undefined), 's?????????');
});

test('times are RFC 3339 with nanoseconds, where its years reach', (t) => {
  t.is(rfc3339({ s: 0, ns: 7 }), '1970-01-01T00:00:00.000000007Z');
  t.is(rfc3339({ s: -1, ns: 999_999_999 }), '1969-12-31T23:59:59.999999999Z');
  t.is(rfc3339({ s: 5_000_000_000, ns: 0 }), '2128-06-11T08:53:20.000000000Z');
  t.is(rfc3339({ s: 400_000_000_000, ns: 0 }), undefined);
  t.is(rfc3339({ s: 1e15, ns: 0 }), undefined);
});

test('the table of snapshots is aligned and counts them', (t) => {
  const info: SnapshotInfo = {
    name: 'home-20261120T091421',
    scheme: 'home',
    date: undefined,
    host: 'box',
    producer: undefined,
    format: 'LBS Snapshot v0.6',
    signed: false,
    counts: { entries: 3, files: 1234, bytes: 2048, stored: 5, warnings: 0 },
    segments: 1,
    storedBytes: 1024 * 1024,
    isHeld: false,
    tags: [],
    intent: undefined,
    error: undefined,
    errorCode: undefined,
  };
  t.deepEqual(snapshotTable([info, { ...info, name: 'x', counts: undefined, error: 'no Root:' }]), [
    'SNAPSHOT              DATE  HOST  FILES      SIZE    STORED',
    'home-20261120T091421  -     box   1,234  2.00 KiB  1.00 MiB',
    'x                     unusable: no Root:',
    '2 snapshots',
  ]);
  t.deepEqual(snapshotTable([]), ['no snapshots']);
});
