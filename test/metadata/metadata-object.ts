/** A metadata object as text, with the records that the stat cache gets of it. */
import test from 'ava';
import { type CacheFacts, CacheRecord, formatRecord } from '../../src/localdb/stat-cache-record.ts';
import { MetadataObject } from '../../src/metadata/metadata-object.ts';
import { asByteText } from '../../src/std/byte-text.ts';

const SEGMENT = '7c18fb6f-0616-42cc-a985-5349a54add41';
const OLD = `${SEGMENT}/00000001(sha1=${'ab'.repeat(20)})`;
const OLDER = `${SEGMENT}/00000000(sha1=${'cd'.repeat(20)})`;

const facts = (path: string): CacheFacts => ({
  text: asByteText(path),
  statusLine: `line of ${path}`,
  xattrs: '',
  content: '',
});

/** The record of `path` in the group of OLD; its stanza of ten bytes is in `object`. */
function record(path: string, object: string, start: number): CacheRecord {
  const text = formatRecord(facts(path), { object, start, length: 10 }, OLD);
  const root = { object: 'r', start: 0, length: 1 };
  const group = { object: OLD, isFlat: false, root, bytes: Buffer.from(text), crc: '', start: 0, end: 0 }; // prettier-ignore
  return new CacheRecord(group, 0, { path: 0, status: path.length + 1 });
}

function finished(object: MetadataObject): { text: string; records: string; isFlat: boolean } {
  const { text, records } = object.finished();
  return { text: text.toString(), records: records.toString(), isFlat: object.isFlat };
}

test('new stanzas stand in the object, and their records say where', (t) => {
  const object = new MetadataObject(4);
  t.true(object.isEmpty);
  object.addFresh(facts('a'), 'name: a\n\n');
  object.addFresh(facts('b'), 'name: b\nx: y\n\n');
  t.false(object.isEmpty);
  t.deepEqual(finished(object), {
    text: 'name: a\n\nname: b\nx: y\n\n',
    records: 'a\nline of a\n=0+9\n\nb\nline of b\n=9+14\n\n',
    isFlat: true,
  });
});

test('stanzas that follow each other in an older object are one line', (t) => {
  const object = new MetadataObject(1000);
  object.addReused(record('a', OLD, 20), undefined);
  object.addReused(record('b', OLD, 30), undefined);
  object.addReused(record('c', OLD, 50), facts('c of now'));
  object.addReused(record('d', OLDER, 60), undefined);
  object.addFresh(facts('e'), 'name: e\n\n');
  object.addReused(record('f', OLDER, 70), undefined);
  const { text, records, isFlat } = finished(object);
  const lines = [`@${OLD}[20+20]`, `@${OLD}[50+10]`, `@${OLDER}[60+10]`, '', 'name: e', '', `@${OLDER}[70+10]`, '']; // prettier-ignore
  t.is(text, lines.join('\n'));
  t.false(isFlat);
  const places = records.split('\n\n').map((each) => each.split('\n').slice(1).join(' '));
  t.deepEqual(places, [
    `line of a ${OLD}[20+10]`,
    `line of b ${OLD}[30+10]`,
    `line of c of now ${OLD}[50+10]`,
    `line of d ${OLDER}[60+10]`,
    `line of e =${text.indexOf('name')}+9`,
    `line of f ${OLDER}[70+10]`,
    '',
  ]);
});

test('after clearing, nothing is left of the object before', (t) => {
  const object = new MetadataObject(10);
  object.addReused(record('a', OLD, 20), undefined);
  object.clear();
  t.true(object.isEmpty);
  object.addFresh(facts('b'), 'name: b\n\n');
  t.deepEqual(finished(object), {
    text: 'name: b\n\n',
    records: 'b\nline of b\n=0+9\n\n',
    isFlat: true,
  });
});
