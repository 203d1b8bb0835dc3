/**
 * Files of a store that are not what their names say: tar members of other names, types and sizes,
 * descriptors, lists of checksums, notes and lists of collections that an enemy wrote, and things
 * that are no files at all.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import {
  DATA,
  EnemyStore,
  METADATA,
  SNAPSHOT,
  strangeMember,
  tarOf,
} from '../helpers/enemy-store.ts';
import { objectName, segmentName, tarMember } from '../helpers/hand-made-store.ts';
import { attacked, readingCommands, restoreAll, type Siege, siege } from '../helpers/siege.ts';

const ESC = '\u001b[2J';
const DESCRIPTOR = `snapshot-${SNAPSHOT}.lbs`;

function small(at: Siege): void {
  new EnemyStore().directory('.').file('x', 'x'.repeat(1000)).file('y', 'y').write(at.store);
}

/** The defect, and what stands in the tar file behind the first block. */
const MEMBERS: readonly (readonly [string, (at: Siege) => Buffer[]])[] = [
  ['a symlink', () => [typed('2', 'x')]],
  ['a hard link', () => [typed('1', '/etc/passwd')]],
  ['a directory', () => [typed('5', '')]],
  ['a device', () => [typed('3', '')]],
  ['a fifo', () => [typed('6', '')]],
  ['CVE-2018-20482 (tar): a sparse file', () => [typed('S', '')]],
  ['CVE-2025-58183 (Go): a pax header of sparse regions', () => [typed('x', '')]],
  ['a global pax header', () => [typed('g', '')]],
  ['a GNU long name', () => [typed('L', '')]],
  ['a GNU long link', () => [typed('K', '')]],
  ['CVE-2006-6097 (tar): a list of names', () => [typed('N', '')]],
  [
    'CVE-2022-48303 (tar): a size in base 256',
    () => [sized((header) => header.fill(0xff, 124, 136))],
  ],
  ['a size of 8 GiB', () => [sized((header) => header.write('77777777777\0', 124))]],
  ['a size of blanks', () => [sized((header) => header.fill(' ', 124, 136))]],
  ['a negative size', () => [sized((header) => header.write('-0000000001\0', 124))]],
  ['a name with ".."', () => [tarMember(`${segmentName(1)}/../../outside/new`, Buffer.from('x'))]],
  ['an absolute name', (at) => [tarMember(join(at.outside, 'new').slice(0, 99), Buffer.from('x'))]],
  ['a name of another segment', () => [tarMember(objectName(2, 0), Buffer.from('x'))]],
  ['an escape sequence', () => [tarMember(`${segmentName(1)}/${ESC}`, Buffer.from('x'))]],
  ['the same object twice', () => [tarMember(objectName(1, 1), Buffer.from('evil'))]],
  [
    'the number of an object in twelve digits',
    () => [tarMember(`${segmentName(1)}/ffffffffffff`, Buffer.from('x'))],
  ],
  ['a header with a wrong sum', () => [Buffer.alloc(512, 'x')]],
  [
    'an end, and then more',
    () => [Buffer.alloc(1024), tarMember(objectName(1, 2), Buffer.from('x'))],
  ],
];

function typed(type: string, target: string): Buffer {
  return strangeMember(objectName(1, 1), Buffer.alloc(0), (header) => {
    header.write(type, 156);
    header.write(target, 157);
  });
}

function sized(change: (header: Buffer) => void): Buffer {
  return strangeMember(objectName(1, 1), Buffer.from('x'), change);
}

test('members of a segment that are no objects are damage, and nothing is made of them', async (t) => {
  const at = siege(t);
  const kinds = MEMBERS.length;
  // One segment for each, and a file that needs what is behind the strange member.
  const store = new EnemyStore().directory('.').file('first', 'first');
  for (let kind = 0; kind < kinds; kind++) {
    const data = `${uuid(kind)}/00000001`;
    store
      .file(`x${kind}`, 'right', { data })
      .file(`z${kind}`, 'right', { data: `${uuid(kind)}/00000003` });
  }
  store.write(at.store, { isWithoutSums: true });
  for (const [kind, [, members]] of MEMBERS.entries()) {
    const rename = (bytes: Buffer) => renamed(bytes, segmentName(1), uuid(kind));
    const right = tarMember(`${uuid(kind)}/00000000`, Buffer.from('right'));
    writeFileSync(join(at.store, `${uuid(kind)}.tar`), tarOf([right, ...members(at).map(rename)]));
  }
  const run = await attacked(t, at, restoreAll(at));
  t.is(run.code, 4, run.stderr);
  t.deepEqual(readdirSync(at.target), ['first']);
  const path = join(at.store, DESCRIPTOR);
  const names = Array.from({ length: kinds }, (_, kind) => `    ${uuid(kind)}\n`).join('');
  writeFileSync(path, `${readFileSync(path, 'utf8')}${names}`);
  for (const command of ['--objects', '--data']) {
    const verify = await attacked(t, at, ['verify', `--store=${at.store}`, command]);
    t.is(verify.code, 4);
    for (const [kind, [defect]] of MEMBERS.entries()) {
      if (defect === 'the same object twice') continue;
      if (defect === 'the number of an object in twelve digits') continue;
      t.true((verify.stdout + verify.stderr).includes(uuid(kind)), defect);
    }
  }
});

function uuid(number: number): string {
  return `33333333-3333-4333-8333-${String(number).padStart(12, '0')}`;
}

/** The same member of another segment. */
function renamed(member: Buffer, from: string, to: string): Buffer {
  if (!member.toString('latin1', 0, 36).startsWith(from)) return member;
  return Buffer.concat([
    strangeMember('', Buffer.alloc(0), (header) => {
      member.copy(header, 0, 0, 512);
      header.write(to, 0);
    }),
    member.subarray(512),
  ]);
}

/** The defect, and what it makes of a descriptor. */
const DESCRIPTORS: readonly (readonly [string, (text: string, at: Siege) => string])[] = [
  ['an empty file', () => ''],
  ['nothing but zeros', () => '\0'.repeat(100_000)],
  ['no root', (text) => text.replace(/^Root: .*$/m, '')],
  ['a root of zeros', (text) => text.replace(/^Root: .*$/m, 'Root: zero[1000000000000]')],
  ['a root that leads out', (text) => text.replace(/^Root: .*$/m, 'Root: ../../etc/passwd/0')],
  ['a root with a path for a segment', (text) => text.replace(/^Root: .*$/m, 'Root: -/0')],
  [
    'a root in a segment that is not there',
    (text) => text.replace(/^Root: .*$/m, `Root: ${segmentName(7)}/0`),
  ],
  [
    'segments with slashes',
    (text) => text.replace('Segments:', 'Segments:\n    ../../outside/file\n    /etc/passwd'),
  ],
  [
    'segments that are options',
    (text) => text.replace('Segments:', 'Segments:\n    --help\n    $(id)'),
  ],
  ['escape sequences in each value', (text) => text.replace(/: .*$/gm, `$&${ESC}\u009b2J`)],
  ['escape sequences in a host', (text) => text.replace(/^Host: .*$/m, `Host: ${ESC}\r\u0007evil`)],
  ['escape sequences in a key', (text) => `${ESC}: x\n${text}`],
  ['a format of the future', (text) => text.replace('v0.6', 'v9999999999.1')],
  ['a format that has escape sequences', (text) => text.replace('v0.6', `v${ESC}`)],
  ['a version of a million parts', (text) => text.replace('v0.6', `v0${'.0'.repeat(100_000)}`)],
  [
    'a date out of this world',
    (text) => text.replace(/^Date: .*$/m, 'Date: 9999-99-99 99:99:99 +9999'),
  ],
  [
    'counts without end',
    (text) => text.replace(/^(Files|Bytes|Entries): .*$/gm, `$1: ${'9'.repeat(15)}`),
  ],
  [
    'checksums of a strange kind',
    (text) => text.replace(/^Checksums: .*$/m, `Checksums: ${ESC}=00`),
  ],
  ['a strange checksum in the root', (text) => text.replace(/^(Root: .*)$/m, '$1(md5=00)')],
  ['a thousand scheme lines', (text) => text.replace('Host', `${'Scheme: x\n'.repeat(1000)}Host`)],
  ['a signature around nothing', (text) => `-----BEGIN PGP SIGNED MESSAGE-----\n${text}`],
  ['a prototype', (text) => `__proto__: x\nconstructor: y\ntoString: z\n${text}`],
];

test('a descriptor of an enemy is told, and never more than told', async (t) => {
  const at = siege(t);
  small(at);
  const right = readFileSync(join(at.store, DESCRIPTOR), 'latin1');
  for (const [number, [, change]] of DESCRIPTORS.entries()) {
    const file = `snapshot-x${number}-${SNAPSHOT}.lbs`;
    writeFileSync(join(at.store, file), Buffer.from(change(right, at), 'latin1'));
  }
  const store = `--store=${at.store}`;
  for (const args of [
    ['list', store],
    ['list', store, '--json'],
    ['verify', store],
    ['find', store, '--name=x'],
    ['usage', store],
    ['forget', store, '--keep-last=1', '--dry-run'],
    ['gc', store, '--dry-run'],
    ['rebuild', store, `--localdb=${join(at.base, 'second')}`],
  ]) {
    await attacked(t, at, args);
  }
  await attacked(t, at, ['ls', store, `x12-${SNAPSHOT}`]);
});

test('names of snapshots, schemes, tags and lists are not written to the terminal as they are', async (t) => {
  const at = siege(t);
  small(at);
  const text = readFileSync(join(at.store, DESCRIPTOR));
  const scheme = `${ESC}\r\n\u009b31m`;
  writeFileSync(join(at.store, `snapshot-${scheme}-20200102T000000.lbs`), text);
  writeFileSync(join(at.store, `snapshot-${scheme}-20200102T000000.hold`), ESC);
  writeFileSync(join(at.store, `snapshot-${scheme}-20200102T000000.tag-x`), ESC);
  writeFileSync(join(at.store, 'snapshot-$(id)-20200102T000000.lbs'), 'nonsense');
  writeFileSync(join(at.store, `snapshot-;reboot;-20200103T000000.lbs`), text);
  writeFileSync(
    join(at.store, `gc-${uuid(1)}.condemned`),
    `../outside/file\n${ESC}\n/etc/passwd\n`,
  );
  writeFileSync(join(at.store, `gc-${uuid(2)}.removing`), `# by ../../outside\n${DATA}.tar\n`);
  writeFileSync(join(at.store, `${uuid(3)}.tar.${'x'.repeat(100)}`), 'x');
  writeFileSync(join(at.store, `${uuid(4)}.tar.gpg;id`), 'x');
  const store = `--store=${at.store}`;
  const name = `${scheme}-20200102T000000`;
  for (const [args, options] of readingCommands(at)) {
    const named = args.map((word) => (word === 'latest' ? Buffer.from(name) : word));
    await attacked(t, at, named, options);
  }
  for (const args of [
    ['ls', store, 'latest'],
    ['ls', store, 'snap'],
    ['diff', store, Buffer.from(name), SNAPSHOT],
    ['history', store, 'x'],
    ['usage', store, '--segments'],
    ['forget', store, '--keep-last=1', '-v'],
    ['gc', store, '--grace=0s', '-v'],
    ['gc', store, '--grace=0s', '-v'],
    ['restore', store, '-v', Buffer.from(name), at.target],
  ]) {
    await attacked(t, at, args);
  }
});

test('lists of checksums of an enemy', async (t) => {
  const at = siege(t);
  const sums = join(at.store, `snapshot-${SNAPSHOT}.sha256sums`);
  for (const text of [
    `${'0'.repeat(64)}  ../outside/file\n`,
    `${'0'.repeat(64)} *${join(at.outside, 'file')}\n`,
    `${ESC} *${DATA}.tar\n`,
    `${'0'.repeat(64)} *${ESC}${'x'.repeat(5000)}\n`,
    `${'0'.repeat(64)} *$(id).tar\n${'0'.repeat(64)} *--help\n`,
    '\n'.repeat(100_000),
    `${'0'.repeat(64)} *${DATA}.tar\n${'1'.repeat(64)} *${DATA}.tar\n`,
  ]) {
    small(at);
    writeFileSync(sums, text);
    await attacked(t, at, ['verify', `--store=${at.store}`]);
    writeFileSync(
      join(at.store, DESCRIPTOR),
      readFileSync(join(at.store, DESCRIPTOR), 'utf8').replace(/^Checksums.*\n/gm, ''),
    );
    await attacked(t, at, ['verify', `--store=${at.store}`]);
  }
  mkdirSync(join(at.base, 'second'));
  await attacked(t, at, ['sync', at.store, join(at.base, 'second')]);
  await attacked(t, at, ['heal', `--store=${at.store}`, `--from=${join(at.base, 'second')}`]);
});

test('fifos, devices, links and directories in the place of files are not waited for', async (t) => {
  const at = siege(t);
  const files = [
    DESCRIPTOR,
    `snapshot-${SNAPSHOT}.sha1sums`,
    `snapshot-${SNAPSHOT}.sha256sums`,
    `${DATA}.tar`,
    `${METADATA}.tar`,
  ];
  const makers: readonly ((path: string) => unknown)[] = [
    (path) => spawnSync('mkfifo', [path]),
    (path) => symlinkSync('/dev/zero', path),
    (path) => symlinkSync(join(at.outside, 'fifo'), path),
    (path) => symlinkSync(path, path),
    (path) => mkdirSync(path),
  ];
  for (const [number, make] of makers.entries()) {
    for (const file of number === 0 ? files : [files[number] ?? '']) {
      small(at);
      rmSync(join(at.store, file));
      make(join(at.store, file));
      await attacked(t, at, ['verify', `--store=${at.store}`, '--data']);
      await attacked(t, at, restoreAll(at));
      rmSync(join(at.store, file), { recursive: true });
    }
  }
});

test('a list of a hundred thousand files that are not there is not gone through', async (t) => {
  const at = siege(t);
  small(at);
  const descriptor = join(at.store, DESCRIPTOR);
  writeFileSync(descriptor, readFileSync(descriptor, 'utf8').replace(/^Checksums.*\n/gm, ''));
  const lines = Array.from(
    { length: 1_000_000 },
    (_, at2) => `${'0'.repeat(40)} *${uuid(at2)}.tar\n`,
  );
  writeFileSync(join(at.store, `snapshot-${SNAPSHOT}.sha1sums`), lines.join(''));
  const run = await attacked(t, at, ['verify', `--store=${at.store}`]);
  t.is(run.code, 4);
});
