import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import test, { type ExecutionContext } from 'ava';
import { LbsError } from '../../src/errors.ts';
import { LOCALDB_FILE, openDatabase, openScratchCopy } from '../../src/localdb/open-localdb.ts';
import { APPLICATION_ID, MIGRATIONS } from '../../src/localdb/schema.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { tempDir } from '../helpers/temp-dir.ts';

function refused(t: ExecutionContext, directory: string, code: string): LbsError {
  const error = t.throws(() => openDatabase(directory), { instanceOf: LbsError });
  if (error === undefined) throw new Error('it was opened');
  t.is(String(error.code), code, error.message);
  return error;
}

test('a new database is for its owner only, and is of the present version', (t) => {
  const directory = join(tempDir(t), 'new', 'one');
  const open = openDatabase(directory);
  t.true(open.isNew);
  t.is(open.file, join(directory, LOCALDB_FILE));
  open.db.exec("insert into facts values ('test', 'x')");
  for (const name of readdirSync(directory)) {
    t.is(statSync(join(directory, name)).mode & 0o777, 0o600, name);
  }
  t.is(statSync(directory).mode & 0o777, 0o700);
  t.is(open.db.pragma('application_id', { simple: true }), APPLICATION_ID);
  t.is(open.db.pragma('user_version', { simple: true }), MIGRATIONS.length);
  t.is(open.db.pragma('journal_mode', { simple: true }), 'wal');
  open.close();
  t.deepEqual(readdirSync(directory), [LOCALDB_FILE], 'closing leaves one file');
});

test('opening again changes nothing and keeps the name of the database', (t) => {
  const directory = tempDir(t);
  const first = openDatabase(directory);
  const schema = (open: typeof first) => open.db.prepare('select sql from sqlite_schema order by name').all(); // prettier-ignore
  const [owner, tables] = [first.owner, schema(first)];
  t.regex(owner, /^[0-9a-f-]{36}$/);
  first.close();
  const before = readFileSync(join(directory, LOCALDB_FILE));
  const again = openDatabase(directory);
  t.false(again.isNew);
  t.is(again.owner, owner);
  t.deepEqual(schema(again), tables);
  again.close();
  t.deepEqual(readFileSync(join(directory, LOCALDB_FILE)), before);
});

test('migrations stopped in the middle are done by the next opening', (t) => {
  const directory = tempDir(t);
  // A process that was killed before its transaction ended leaves a database without tables.
  new Database(join(directory, LOCALDB_FILE)).exec('create table x(y); drop table x;').close();
  const open = openDatabase(directory);
  t.is(open.db.pragma('user_version', { simple: true }), MIGRATIONS.length);
  t.is(open.db.pragma('application_id', { simple: true }), APPLICATION_ID);
  open.close();
});

test('an empty file becomes a database', (t) => {
  const directory = tempDir(t);
  writeFileSync(join(directory, LOCALDB_FILE), '');
  const open = openDatabase(directory);
  t.is(open.db.pragma('user_version', { simple: true }), MIGRATIONS.length);
  open.close();
});

test('a database of a newer version is refused and not touched', (t) => {
  const directory = tempDir(t);
  openDatabase(directory).close();
  const file = join(directory, LOCALDB_FILE);
  const db = new Database(file);
  db.pragma(`user_version = ${MIGRATIONS.length + 1}`);
  db.close();
  const before = readFileSync(file);
  const error = refused(t, directory, 'localdb-version');
  t.regex(error.message, /newer lbs/);
  t.regex(error.hint ?? '', /newer lbs/);
  t.deepEqual(readFileSync(file), before);
});

test('a file that is no database is refused, with the command that puts it aside', (t) => {
  const directory = tempDir(t);
  const file = join(directory, LOCALDB_FILE);
  for (const content of [pseudoRandom('no database', 20_000), Buffer.from('just a text\n'.repeat(100))]) {
    writeFileSync(file, content);
    const error = refused(t, directory, 'localdb-corrupt');
    t.true(error.hint?.includes(`mv ${file} ${file}.damaged`), error.hint);
    t.regex(error.hint ?? '', /no backup is harmed/);
    t.deepEqual(readFileSync(file), content);
  }
}); // prettier-ignore

test('a damaged database is refused, with the command that puts it aside', (t) => {
  const directory = tempDir(t);
  const file = join(directory, LOCALDB_FILE);
  const open = openDatabase(directory);
  const add = open.db.prepare('insert into blocks(key, sha256, size) values (?, ?, 1)');
  open.db.transaction(() => {
    for (let at = 0; at < 2000; at++) add.run(at, pseudoRandom(String(at), 32));
  })();
  open.close();
  const bytes = readFileSync(file);
  bytes.fill(0x5a, bytes.length / 2, bytes.length / 2 + 8192);
  writeFileSync(file, bytes);
  const error = refused(t, directory, 'localdb-corrupt');
  t.true(error.hint?.includes(`mv ${file} ${file}.damaged`), error.hint);
});

test('a database that is cut off is refused', (t) => {
  const directory = tempDir(t);
  const file = join(directory, LOCALDB_FILE);
  openDatabase(directory).close();
  const bytes = readFileSync(file);
  for (const length of [50, 4096, bytes.length - 4096]) {
    writeFileSync(file, bytes.subarray(0, length));
    refused(t, directory, 'localdb-corrupt');
  }
});

test('a database of another program is refused and not touched', (t) => {
  const directory = tempDir(t);
  const file = join(directory, LOCALDB_FILE);
  const foreign: readonly ((db: Database.Database) => void)[] = [
    (db) => db.pragma('application_id = 12345'),
    (db) => db.pragma('user_version = 3'),
    // Most programs set neither.
    (db) => db.exec('create table letters(text)'),
  ];
  for (const [number, mark] of foreign.entries()) {
    writeFileSync(file, '');
    const db = new Database(file);
    mark(db);
    db.close();
    const before = readFileSync(file);
    const error = refused(t, directory, 'localdb-corrupt');
    t.regex(error.message, /not a local database of lbs/, String(number));
    t.deepEqual(readFileSync(file), before);
  }
});

test('a scratch copy shows what the database holds, and leaves it and its place alone', (t) => {
  const directory = tempDir(t);
  const open = openDatabase(directory);
  // Not yet in the main file: still in the write-ahead log.
  open.db.exec("insert into facts values ('test', 'x')");
  const names = () => readdirSync(directory).sort();
  const before = names();
  const copy = openScratchCopy(directory);
  t.deepEqual(copy.db.prepare("select value from facts where key = 'test'").get(), { value: 'x' });
  copy.db.exec("delete from facts where key = 'test'");
  t.not(copy.file, open.file);
  copy.close();
  t.false(existsSync(copy.file));
  t.deepEqual(names(), before);
  t.truthy(open.db.prepare("select value from facts where key = 'test'").get());
  open.close();
  const absent = join(directory, 'absent');
  const empty = openScratchCopy(absent);
  t.true(empty.isNew);
  empty.close();
  t.false(existsSync(absent));
});

test('a place that cannot be used is an error that names it', (t) => {
  const directory = tempDir(t);
  writeFileSync(join(directory, 'file'), '');
  const error = refused(t, join(directory, 'file', 'below'), 'io');
  t.true(error.message.includes(join(directory, 'file', 'below')));
  mkdirSync(join(directory, 'taken', LOCALDB_FILE), { recursive: true });
  refused(t, join(directory, 'taken'), 'io');
  chmodSync(directory, 0o755);
});
