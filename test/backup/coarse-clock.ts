/** Filesystems whose times are of whole seconds, where a change can leave every time as it was. */
import { readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { CacheRecord } from '../../src/localdb/stat-cache-record.ts';
import { StatCacheReader } from '../../src/localdb/stat-cache-reader.ts';
import { StatCacheWriter } from '../../src/localdb/stat-cache-writer.ts';
import { statusLine, untrusted } from '../../src/localdb/status-line.ts';
import { statusAt } from '../../src/posix/file-status.ts';
import { AT_FDCWD, cString } from '../../src/posix/libc.ts';
import { backupOptions, places, type Places } from '../helpers/places.ts';
import { jsonMessage, lbsOk } from '../helpers/run-lbs.ts';

/** Makes the stat cache one that saw `path` in just the state it has now, in the tick of its change. */
function seenInOneTick(at: Places, path: string): void {
  const file = join(at.localdb, 'lbs-statcache');
  const old = StatCacheReader.open(file);
  if (old === undefined) throw new Error('no stat cache');
  const present = untrusted(statusLine(statusAt(AT_FDCWD, cString(join(at.tree, path)))));
  const writer = new StatCacheWriter(file);
  const roots = [];
  for (const group of old.rest()) {
    if (group instanceof CacheRecord) throw new Error('a record without its group');
    const text = group.bytes.toString('latin1');
    const changed = text.replace(new RegExp(`(^|\\n\\n)(${path})\\n.*\\n`), `$1$2\n${present}\n`);
    writer.addGroup(group.object, group.isFlat, Buffer.from(changed, 'latin1'));
    roots.push(group.root);
  }
  const accounts = [...old.accounts].map(([key, name]) => {
    return { kind: key.startsWith('u') ? 'u' : 'g', id: Number(key.slice(1)), name } as const;
  });
  writer.finish(old.root, accounts, roots);
  writer.commit();
  old.close();
}

async function added(t: ExecutionContext, at: Places): Promise<number> {
  const run = await lbsOk(t, ['--json', ...backupOptions(at), '.'], { cwd: at.tree });
  return Number(jsonMessage(run, 'summary')['data_added']);
}

test('a link that was replaced in the tick in which it was saved has its new target', async (t) => {
  const at = places(t);
  symlinkSync('version-1', join(at.tree, 'link'));
  await added(t, at);
  seenInOneTick(at, 'link');
  // Nothing has changed: the old stanza is used again.
  t.is(await added(t, at), 0);
  rmSync(join(at.tree, 'link'));
  symlinkSync('version-2', join(at.tree, 'link'));
  seenInOneTick(at, 'link');
  t.true((await added(t, at)) > 0);
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  t.is(readlinkSync(join(at.target, 'link')), 'version-2');
});
