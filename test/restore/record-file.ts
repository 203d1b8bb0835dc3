import fc from '../helpers/fast-check.ts';
import test from 'ava';
import { RecordFile } from '../../src/restore/record-file.ts';

/** Of many records, each with its number in it; some are larger than a page. */
function recordOf(id: number): Buffer {
  const length = id % 997 === 5 ? 70_000 : (id * 37) % 600;
  return Buffer.concat([Buffer.from(`${id} `), Buffer.alloc(length, id & 255)]);
}

test('records come back in order, and those of the page being filled do', (t) => {
  const records = new RecordFile();
  for (let id = 1; id <= 5000; id++) {
    records.add(recordOf(id));
    if (id % 611 === 0) t.deepEqual(records.get(id), recordOf(id));
  }
  for (let id = 1; id <= 5000; id++) {
    if (!records.get(id).equals(recordOf(id))) t.fail(`record ${id} is another`);
  }
  t.pass();
  records.close();
});

test('records come back in any order, more pages than are kept', (t) => {
  const records = new RecordFile();
  const count = 40_000;
  for (let id = 1; id <= count; id++) records.add(recordOf(id));
  const asked = fc.array(fc.integer({ min: 1, max: count }), { minLength: 300, maxLength: 600 });
  fc.assert(
    fc.property(asked, (ids) => {
      const got = ids.map((id) => records.get(id));
      // They stay as they are while others are read.
      return got.every((record, at) => record.equals(recordOf(ids[at] ?? 0)));
    }),
    { numRuns: 20 },
  );
  t.pass();
  records.close();
});

test('a record that is not there is a mistake of the caller', (t) => {
  const records = new RecordFile();
  t.throws(() => records.get(1), { instanceOf: RangeError });
  records.add(Buffer.alloc(0));
  t.is(records.get(1).length, 0);
  t.throws(() => records.get(0), { instanceOf: RangeError });
  t.throws(() => records.get(2), { instanceOf: RangeError });
  records.close();
});
