/** Stores that an upload script fills, by both protocols and in both layouts; and wrong use. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import * as lbs from 'lbs';
import { type Places, places, restored } from '../helpers/places.ts';
import { PROJECT, type Run, jsonLines, jsonMessage, lbsExits, lbsOk } from '../helpers/run-lbs.ts';
import { makeSmallTree } from '../helpers/small-tree.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

const UPLOADS = join(PROJECT, 'test', 'fixtures', 'uploads');

const scriptOf = (protocol: string, at: Places, layout: string) =>
  protocol === 'stream'
    ? [`--upload-script=${UPLOADS}/by-lines ${at.store} ${layout}`]
    : [`--upload-script=${UPLOADS}/by-calls ${at.store} ${layout} 0`, '--upload-protocol=call'];

/** What the script was told, in order, without names of segments. */
function logOf(at: Places): string[] {
  const lines = readFileSync(`${at.store}.log`, 'utf8').trimEnd().split('\n');
  return lines.map((line) =>
    line
      .replace(/^PUT /, '')
      .replace(/[0-9a-f-]{36}\.tar\.zst$/, 'SEGMENT')
      .replace(/\d{8}T\d{6}/, 'NAME'),
  );
}

const LISTS = ['checksums snapshot-NAME.sha1sums', 'checksums snapshot-NAME.sha256sums'];

for (const protocol of ['stream', 'call']) {
  for (const layout of ['flat', 'typed']) {
    test(`what a script of the protocol "${protocol}" stores ${layout} is a store, and grows by what is new`, async (t) => {
      const at = places(t);
      // The older protocol gets words of a shell; the newer one escapes what is odd.
      const tmp = join(at.base, protocol === 'call' ? "it's a place" : 'waiting');
      mkdirSync(tmp);
      makeSmallTree(at.tree);
      const where = [`--localdb=${at.localdb}`, `--tmpdir=${tmp}`];
      const args = [...scriptOf(protocol, at, layout), ...where, '--json', '--tag=good', at.tree];
      const first = jsonMessage(await lbsOk(t, args), 'summary');
      const recovery = ['snapshots restore.sh', 'snapshots README.txt'];
      const segments = ['segments SEGMENT', 'segments SEGMENT'];
      const after = [...LISTS, 'snapshots snapshot-NAME.lbs', 'snapshots snapshot-NAME.tag-good'];
      t.deepEqual(logOf(at), [...segments, ...recovery, ...after]);
      t.deepEqual(readdirSync(tmp), [], 'something waits still');
      t.is(existsSync(join(at.store, 'segments')), layout === 'typed');

      writeFileSync(join(at.tree, 'new'), 'new\n');
      const second: Run = await lbsOk(t, args);
      t.is(Number(jsonMessage(second, 'summary')['content_added']), 4);
      t.deepEqual(logOf(at).slice(8), [...segments, ...after]);
      // Standard output is for results, whatever a script says.
      t.true(jsonLines(second).length > 0);

      const { store } = at;
      const list = await lbs.list({ store });
      t.deepEqual(list.map(({ name, tags }) => [name, tags]), [
        [first['snapshot_id'], ['good']],
        [jsonMessage(second, 'summary')['snapshot_id'], ['good']],
      ]); // prettier-ignore
      t.deepEqual((await lbs.verify({ store, depth: 'data' })).damage, []);
      if (layout === 'flat') await lbs.restore({ store, snapshot: 'latest', target: at.target });
      else {
        // The script that lies there finds the segments elsewhere.
        const restore = join(store, 'snapshots', 'restore.sh');
        t.is(spawnSync('sh', [restore, 'latest', at.target], { stdio: 'ignore' }).status, 0);
      }
      sameTree(t, readTree(at.tree), readTree(restored(at.target, at.tree)));
    });
  }
}

test('the place of the files makes a lost local database again, and a directory serves it no more', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  const script = scriptOf('stream', at, 'typed');
  await lbsOk(t, [...script, `--localdb=${at.localdb}`, at.tree]);
  const again = join(at.base, 'again');
  await lbsOk(t, ['rebuild', `--store=${at.store}`, `--localdb=${again}`]);
  const args = [`--localdb=${again}`, '--json', at.tree];
  const run = jsonMessage(await lbsOk(t, [...script, ...args]), 'summary');
  t.is(Number(run['content_added']), 0);
  t.deepEqual((await lbs.verify({ store: at.store, depth: 'data' })).damage, []);

  // What a directory gets from now on the script does not.
  const other = join(at.base, 'other');
  mkdirSync(other);
  await lbsOk(t, [`--dest=${other}`, ...args]);
  const refused = await lbsExits(t, 2, [...script, ...args]);
  t.regex(refused.stderr, /stores that the upload script did not fill/);
  t.regex(refused.stderr, /lbs rebuild --store=COPY/);
});

test('a script gets no passphrase, and its standard error is shown', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  const script = '--upload-script=env >&2; while read -r line; do echo OK; done';
  const run = await lbsOk(t, [script, `--localdb=${at.localdb}`, '-q', at.tree], {
    env: { LBS_SIGN_PASSPHRASE: 'secret', LBS_SIGN_PASSPHRASE_FILE: '/secret', LBS_OTHER: 'seen' },
  });
  t.regex(run.stderr, /^LBS_OTHER=seen$/m);
  t.notRegex(run.stderr, /PASSPHRASE|[=/]secret$/m);
});

test('a store and a script get the same snapshot; without the store the script gets it still', async (t) => {
  const at = places(t);
  const dest = join(at.base, 'dest');
  mkdirSync(dest);
  makeSmallTree(at.tree);
  const script = scriptOf('stream', at, 'flat');
  const args = [`--dest=${dest}`, ...script, `--localdb=${at.localdb}`, at.tree];
  await lbsOk(t, args);
  t.deepEqual(readdirSync(dest).sort(), readdirSync(at.store).sort());
  for (const store of [dest, at.store]) {
    t.deepEqual((await lbs.verify({ store, depth: 'data' })).damage, []);
  }
  const missing = args.map((arg) => arg.replace(dest, `${dest}/gone`));
  const run = await lbsExits(t, 3, missing);
  t.regex(run.stderr, /the snapshot is not in .*\/gone \(exit code 3\)$/m);
  t.is(readdirSync(at.store).filter((name) => name.endsWith('.lbs')).length, 2);
  t.deepEqual((await lbs.verify({ store: at.store, depth: 'data' })).damage, []);
});

test('the configuration names a script to write and its store to read; wrong use is told', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  const config = join(at.base, 'config');
  const [script = ''] = scriptOf('stream', at, 'flat');
  const lines = [script.slice(2), `store = ${at.store}`, `localdb = ${at.localdb}`];
  writeFileSync(config, `${lines.join('\n')}\n`);
  await lbsOk(t, [`--config=${config}`, at.tree]);
  t.true(existsSync(`${at.store}.log`), 'the script was not used');
  const list = await lbsOk(t, ['list', `--config=${config}`]);
  t.regex(list.stdout, /1 snapshot/);

  const none = await lbsExits(t, 2, [script, at.tree]);
  t.regex(none.stderr, /an upload script needs a local database/);
  const word = [script, `--localdb=${at.localdb}`, '--upload-protocol=mail', at.tree];
  t.regex((await lbsExits(t, 2, word)).stderr, /choose one of: stream, call/);
  const place = [script, `--localdb=${at.localdb}`, `--tmpdir=${at.base}/none`, at.tree];
  t.regex((await lbsExits(t, 1, place)).stderr, /choose another place with --tmpdir=DIR/);
});
