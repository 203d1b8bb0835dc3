/** What stretches of metadata use, as rebuild, usage and compact remember it. */
import test from 'ava';
import { UsesOfIncludes } from '../../src/maintain/used-objects.ts';

test('a root that names what is known is remembered with what that uses', (t) => {
  const uses = new UsesOfIncludes();
  uses.begin();
  uses.enter('item');
  uses.use(1);
  uses.addFile(10);
  uses.leave('item');
  // A second snapshot: its reader asks for all parts before it goes through them.
  uses.begin();
  t.true(uses.isKnown('item'));
  uses.enter('root');
  t.true(uses.isKnown('item'));
  uses.enter('another');
  uses.use(2);
  uses.addFile(5);
  uses.leave('another');
  uses.leave('root');
  t.deepEqual([[...uses.used.ids()], uses.fileBytes], [[1, 2], 15]);
  // A third one in which nothing changed.
  uses.begin();
  t.true(uses.isKnown('root'));
  t.deepEqual([[...uses.used.ids()], uses.fileBytes], [[1, 2], 15]);
});
