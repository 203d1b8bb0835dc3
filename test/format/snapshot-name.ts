import test from 'ava';
import { LbsError } from '../../src/errors.ts';
import {
  checkScheme,
  checkTag,
  formatSnapshotName,
  isSegmentName,
  isStoreFile,
  noteFile,
  parseNoteFile,
  parseSegmentFile,
  parseSegmentListFile,
  parseSnapshotFile,
  parseSnapshotName,
} from '../../src/format/snapshot-name.ts';

const TIME = '20261120T091421';
const UUID = '59669976-da50-4cc0-afbf-74d222a510a7';

test('schemes of letters, digits, "_" and "-" are usable', (t) => {
  for (const scheme of ['a', 'home', 'Home_2', 'a-b', 'a--b-', '_', '0', 'x'.repeat(64), TIME.slice(1)]) {
    t.is(checkScheme(scheme), scheme);
  }
}); // prettier-ignore

test('a scheme that could reach out of the store or be misread is refused', (t) => {
  const bad = ['', '-a', '-', '.', '..', '../x', 'a/b', '/a', 'a b', 'a\n', 'a\0', 'ä', 'a.b', 'a*', 'x'.repeat(65), TIME]; // prettier-ignore
  for (const scheme of bad) {
    t.throws(() => checkScheme(scheme), { instanceOf: LbsError, code: 'usage' }, JSON.stringify(scheme)); // prettier-ignore
  }
});

test('the file of a tag that is usable is that of a note and nothing else', (t) => {
  for (const name of [TIME, `a-${TIME}`, `a.b-${TIME}`, `${TIME}-${TIME}`]) {
    for (const tag of ['a', '_', '0', 'v1.2', 'a.hold', 'a.lbs', TIME, `a-${TIME}`, 'x'.repeat(64)]) {
      t.is(checkTag(tag), tag);
      const file = noteFile({ name, tag });
      t.deepEqual(parseNoteFile(file), { name, tag });
      t.is(parseSnapshotFile(file), undefined, file);
      t.is(parseSegmentListFile(file), undefined, file);
      t.true(isStoreFile(file));
    }
    t.deepEqual(parseNoteFile(noteFile({ name, tag: undefined })), { name, tag: undefined });
  }
}); // prettier-ignore

test('a tag that could reach out of the store or be misread is refused', (t) => {
  const bad = ['', '-a', '.a', 'a/b', '../x', 'a b', 'ä', 'a\nb', 'a\n', 'a\0', '*', 'x'.repeat(65), `a-${TIME}.lbs`, `${TIME}.hold`, `a-${TIME}.sha1sums`, `${TIME}.meta`]; // prettier-ignore
  for (const tag of bad) {
    t.throws(() => checkTag(tag), { instanceOf: LbsError, code: 'usage' }, JSON.stringify(tag)); // prettier-ignore
  }
});

test('names are made and taken apart at their last "-"', (t) => {
  for (const scheme of [undefined, 'a', 'a-b', 'a-', '20261120T091421-x']) {
    const name = formatSnapshotName(scheme, TIME);
    t.is(name, scheme === undefined ? TIME : `${scheme}-${TIME}`);
    t.deepEqual(parseSnapshotName(name), { scheme, timestamp: TIME });
  }
  for (const bad of ['', 'a', `-${TIME}`, `a${TIME}`, `${TIME}-`, `a-${TIME}x`, `a-${TIME.slice(1)}`]) {
    t.is(parseSnapshotName(bad), undefined, bad);
  }
}); // prettier-ignore

test('files of snapshots are told from others', (t) => {
  for (const kind of ['lbs', 'cumulus', 'sha1sums', 'sha256sums']) {
    t.deepEqual(parseSnapshotFile(`snapshot-${TIME}.${kind}`), { name: TIME, kind });
    t.deepEqual(parseSnapshotFile(`snapshot-a-b-${TIME}.${kind}`), { name: `a-b-${TIME}`, kind });
  }
  const others = [
    `${TIME}.lbs`,
    `snapshot-${TIME}`,
    `snapshot-${TIME}.lbs.new`,
    `snapshot-${TIME}.txt`,
    `snapshot--${TIME}.lbs`,
    `snapshot-a${TIME}.lbs`,
    `snapshot-a/b-${TIME}.lbs`,
    `.snapshot-${TIME}.lbs`,
    `snapshot-.lbs`,
  ];
  for (const file of others) t.is(parseSnapshotFile(file), undefined, file);
});

test('files of segments are told from others', (t) => {
  for (const extension of ['', '.zst', '.bz2', '.gpg', '.tar.gz', '.x_y-z']) {
    t.deepEqual(parseSegmentFile(`${UUID}.tar${extension}`), { segment: UUID, extension });
  }
  const others = [
    UUID,
    `${UUID}.tar.`,
    `${UUID}.tar.a/b`,
    `${UUID}.tar.a b`,
    `${UUID}.tarx`,
    `${UUID.toUpperCase()}.tar`,
    `${UUID.slice(1)}.tar`,
    `x${UUID}.tar`,
    `${UUID}.tar\n`,
    `.${UUID}.tar`,
  ];
  for (const file of others) t.is(parseSegmentFile(file), undefined, JSON.stringify(file));
});

test('lists of segments are told from others', (t) => {
  for (const extension of ['', '.bz2', '.gpg']) {
    const file = `snapshot-a-b-${TIME}.meta${extension}`;
    t.deepEqual(parseSegmentListFile(file), { name: `a-b-${TIME}`, extension });
    t.is(parseSnapshotFile(file), undefined);
    t.true(isStoreFile(file));
  }
  for (const file of [`snapshot-${TIME}.meta.`, `meta/snapshot-${TIME}.meta`, `${TIME}.meta`]) {
    t.is(parseSegmentListFile(file), undefined, file);
  }
});

test('a file of a store has a name of one of the kinds, and no slash', (t) => {
  for (const file of [`${UUID}.tar`, `snapshot-${TIME}.lbs`]) t.true(isStoreFile(file));
  for (const file of ['', '..', 'notes', `../${UUID}.tar`, `segments/${UUID}.tar`, 'lbs-localdb.sqlite']) {
    t.false(isStoreFile(file), file);
  }
}); // prettier-ignore

test('the name of a segment is a UUID in lower case', (t) => {
  t.true(isSegmentName(UUID));
  for (const bad of ['', '..', UUID.toUpperCase(), `${UUID}/`, `${UUID}\n`, UUID.replaceAll('-', '')]) {
    t.false(isSegmentName(bad), JSON.stringify(bad));
  }
}); // prettier-ignore
