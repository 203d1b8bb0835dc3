/**
 * Small stores that say they are large: sizes, lists that name lists, and what decompresses to
 * terabytes. Each command ends soon, in little memory, and with little written (see siege.ts).
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { EnemyStore, type Fields } from '../helpers/enemy-store.ts';
import { objectName } from '../helpers/hand-made-store.ts';
import { attacked, fewCommands, restoreAll, siege } from '../helpers/siege.ts';

const NO_SUM: Fields = { checksum: `sha1=${'0'.repeat(40)}`, sha256: '0'.repeat(64) };
const HUGE = '9007199254740991';

test('sizes beyond every disk are refused before anything is written', async (t) => {
  const at = siege(t);
  for (const [data, size] of [
    ['zero[1000000000000000]', '1000000000000000'],
    [`zero[${HUGE}]`, HUGE],
    [Array.from({ length: 1000 }, () => 'zero[1000000000000]').join(' '), '1000000000000000'],
  ] as const) {
    const store = new EnemyStore().directory('.').file('x', 'x');
    store.file('huge', '', { ...NO_SUM, data, size }).write(at.store);
    const run = await attacked(t, at, restoreAll(at));
    t.is(run.code, 1, run.stderr);
    t.false(existsSync(at.target));
  }
});

test('sizes that cannot be, or do not fit together, cost only their entry', async (t) => {
  const at = siege(t);
  const store = new EnemyStore().directory('.');
  const block = store.block('block');
  for (const [number, [data, size]] of [
    ['zero[1000000000000000000]', '1000000000000000000'],
    ['zero[99999999999999999999999999]', '5'],
    ['zero[-1]', '0'],
    [`${block} zero[${HUGE}] zero[${HUGE}]`, '4'],
    [block, '-5'],
    [block, '1e9'],
    [block, '0x7fffffff'],
    [`${block}[0+${HUGE}]`, '5'],
    [`${block}[${HUGE}+1]`, '1'],
    [`${block}[${HUGE}+${HUGE}]`, '5'],
    [`${block}[=${HUGE}]`, '5'],
    [objectName(1, 2 ** 40), '5'],
    [`${block}(sha1=00)`, '5'],
    [`${block}(md5=${'0'.repeat(32)})`, '5'],
    ['../../../../etc/passwd', '5'],
    [`${'f'.repeat(65)}/0`, '5'],
  ].entries()) {
    store.file(`x${number}`, '', { ...NO_SUM, data: data ?? '', size: size ?? '' });
  }
  store.file('last', 'last').write(at.store);
  const run = await attacked(t, at, restoreAll(at));
  t.is(run.code, 4, run.stderr);
  t.true(existsSync(join(at.target, 'last')));
  for (const [args, options] of fewCommands(at)) await attacked(t, at, args, options);
});

test('zeros without end that are asked for by name are not made in memory', async (t) => {
  const at = siege(t);
  const size = String(2 ** 40);
  const store = new EnemyStore().directory('.');
  store.file('huge', '', { ...NO_SUM, data: `zero[${size}]`, size, holes: `0+${size}` });
  store.write(at.store);
  // A terabyte with holes only takes no room, and one checksum over it hours.
  for (const args of [
    ['ls', `--store=${at.store}`, '-l', 'latest'],
    ['usage', `--store=${at.store}`, '--paths'],
    ['diff', `--store=${at.store}`, 'latest', 'latest'],
    ['restore', `--store=${at.store}`, '--dry-run', 'latest', at.target],
  ]) {
    await attacked(t, at, args);
  }
});

/** A log whose objects name each other; the entries stand in the innermost ones. */
function nested(levels: readonly number[], innermost: string): string[] {
  const objects = [innermost];
  for (const count of levels) {
    const line = `@${objectName(2, objects.length - 1)}\n`;
    objects.push(line.repeat(count));
  }
  return objects;
}

test('billion laughs: a log that names its objects again and again', async (t) => {
  const at = siege(t);
  const store = new EnemyStore().directory('.').file('x', 'x'.repeat(100));
  const log = String(store.log).repeat(100);
  // Some 100 KB that say 10^12 entries, in as many levels as the format has.
  store.write(at.store, { metadata: nested([10_000, 10_000], log) });
  for (const [args, options] of fewCommands(at)) await attacked(t, at, args, options);
  await attacked(t, at, restoreAll(at));
});

test('billion laughs: lists of blocks that name lists of blocks', async (t) => {
  const at = siege(t);
  const store = new EnemyStore().directory('.');
  const lists = nested([2000, 2000], `${store.block('x'.repeat(100))}\n`.repeat(2000));
  const root = lists.length - 1;
  const fields = { ...NO_SUM, data: `@${objectName(2, root)}`, size: '800000000000' };
  store.file('x', '', fields).file('last', 'last');
  const metadata = [...lists, store.log, `@${objectName(2, root + 1)}\n`];
  store.write(at.store, { metadata });
  for (const [args, options] of fewCommands(at)) await attacked(t, at, args, options);
  await attacked(t, at, restoreAll(at));
  t.true(existsSync(join(at.target, 'last')));
});

test('a circle of objects, and lists nested too deep, end', async (t) => {
  const at = siege(t);
  const store = new EnemyStore().directory('.').file('x', 'x');
  const self = `@${objectName(2, 0)}\n`;
  const list = `@${objectName(2, 1)}\n`;
  store.file('circle', '', { ...NO_SUM, data: list.trim(), size: '5' }).file('last', 'last');
  store.write(at.store, {
    metadata: [`${String(store.log)}${self}`, list, `${self}${self}${list}`],
  });
  for (const [args, options] of fewCommands(at)) await attacked(t, at, args, options);
  const run = await attacked(t, at, restoreAll(at));
  t.is(run.code, 4);
  t.true(existsSync(join(at.target, 'last')));
});

test('one block that millions of references name is not read or kept millions of times', async (t) => {
  const at = siege(t);
  const store = new EnemyStore().directory('.');
  const block = store.block('y'.repeat(1000));
  const count = 100_000;
  const sha = createHash('sha1');
  for (let number = 0; number < count; number++) sha.update('y'.repeat(1000));
  const fields = { data: `${block} `.repeat(count), size: String(count * 1000) };
  store.file('x', '', { ...fields, checksum: `sha1=${sha.digest('hex')}`, sha256: '0'.repeat(64) });
  store.write(at.store);
  for (const args of [
    ['ls', `--store=${at.store}`, 'latest'],
    ['verify', `--store=${at.store}`, '--data'],
  ]) {
    await attacked(t, at, args);
  }
});
