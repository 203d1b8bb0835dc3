import test from 'ava';
import { LbsError } from '../../src/errors.ts';
import { parseListedSegment } from '../../src/format/segment-list.ts';

const SEGMENT = '100899ef-cfce-46fc-948a-17f7f947ff07';
const OTHER = '3527fbd6-cf99-4022-ba41-7d0b14364227';
const HEX = 'e7ee0c607b63bd216d453f62b0fe9c4c4bb0df67fbb8235f234c5f45';

const parse = (fields: Record<string, string>) =>
  parseListedSegment(new Map(Object.entries(fields)));

test('a stanza of Cumulus 0.11 names segment, file and checksum', (t) => {
  const fields = {
    checksum: `sha224=${HEX}`,
    data_size: '22276',
    datetime: '2026-11-20 10:38:00',
    disk_size: '25088',
    path: `segments0/${SEGMENT}.tar.bz2`,
    segment: SEGMENT,
    type: 'metadata',
  };
  const checksum = { algorithm: 'sha224', hex: HEX } as const;
  t.deepEqual(parse(fields), { segment: SEGMENT, file: `${SEGMENT}.tar.bz2`, checksum });
});

test('columns that the original had no value for are missing', (t) => {
  const found = parse({ segment: SEGMENT });
  t.deepEqual(found, { segment: SEGMENT, file: undefined, checksum: undefined });
});

test('a path means a file of that segment in the store, and nothing else', (t) => {
  const fileAt = (path: string) => parse({ segment: SEGMENT, path }).file;
  for (const path of ['', '/', '..', '/etc/passwd', '../../etc/passwd', `${SEGMENT}.tar/`]) {
    t.is(fileAt(path), undefined, path);
  }
  t.is(fileAt(`segments1/${OTHER}.tar`), undefined);
  t.is(fileAt(`/../../${SEGMENT}.tar`), `${SEGMENT}.tar`);
});

test('what is no name of a segment and no checksum is refused', (t) => {
  const refuses = (fields: Record<string, string>) =>
    t.throws(() => parse(fields), { instanceOf: LbsError, code: 'format-syntax' });
  refuses({});
  refuses({ segment: `../${SEGMENT}` });
  refuses({ segment: SEGMENT, checksum: 'md5=00' });
  refuses({ segment: SEGMENT, checksum: `sha224=${HEX}00` });
});
