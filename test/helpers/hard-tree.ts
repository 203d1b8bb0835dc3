/**
 * A tree of everything that backup programs get wrong: names that are not text, paths that no
 * system call takes whole, holes, links, attributes, modes, devices and times. As root it has
 * all of it; as an ordinary user, what that user can make.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  lchownSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { statusAt } from '../../src/posix/file-status.ts';
import * as libc from '../../src/posix/libc.ts';
import { pseudoRandom } from './pseudo-random.ts';
import { isRoot } from './temp-dir.ts';

export const MIB = 1024 * 1024;
const KIB = 1024;
const GRID_BYTES = 64 * KIB;
const NS_PER_S = 1_000_000_000n;

/** Each becomes a file with a few bytes; order and escapes are what is tested. */
const FILE_NAMES: readonly (string | Buffer)[] = [
  '-n', '--exclude=x', '#x', '+x', ',x', ' ', ' lead', 'trail ', '%41', '@x', 'a\\b', "it's", '"q"',
  'new\nline', '\n', 'tab\there', 'name: x', '*', '?', '[ab]', '{a,b}', '!x', '~', '$HOME', '...', '..x',
  '\x7f', '\x01\x1b[31m', 'a', 'a-dir', 'a.b', 'adir', 'a b', 'é', 'e\u0301', '日本', '\u{10000}', '\uffee',
  Buffer.from([0xff]),
  Buffer.from([0xfe, 0x0a, 0x80]),
  Buffer.from('latin1-\xe9', 'latin1'),
  Buffer.from([0xed, 0xa0, 0x80]),
  'n'.repeat(255),
  Buffer.alloc(255, 0xff),
  'é'.repeat(127),
]; // prettier-ignore

/** A path below the top; bytes where it is not text. */
type Name = string | Buffer;

class TreeMaker {
  readonly #top: Buffer;

  constructor(top: string) {
    this.#top = Buffer.from(top);
  }

  at(...parts: Name[]): Buffer {
    const slash = Buffer.from('/');
    return Buffer.concat([this.#top, ...parts.flatMap((part) => [slash, Buffer.from(part)])]);
  }

  dir(...parts: Name[]): void {
    mkdirSync(this.at(...parts));
  }

  file(content: string | Buffer, ...parts: Name[]): void {
    writeFileSync(this.at(...parts), content);
  }

  /** A file of `size` bytes with data only at the given places. */
  sparse(
    name: string,
    size: number,
    data: readonly (readonly [at: number, length: number])[],
  ): void {
    const fd = openSync(this.at('sparse', name), 'w');
    ftruncateSync(fd, size);
    for (const [at, length] of data)
      writeSync(fd, pseudoRandom(`${name}${at}`, length), 0, length, at);
    closeSync(fd);
  }

  node(typeBits: number, name: string, major = 0, minor = 0): void {
    libc.mknodAt(libc.AT_FDCWD, libc.cString(this.at(name)), typeBits | 0o640, major, minor);
  }

  xattr(path: Name, name: Name, value: Buffer): void {
    libc.setXattr(libc.cString(this.at(path)), Buffer.from(name), value);
  }
}

function makeNames(tree: TreeMaker): void {
  tree.dir('names');
  for (const name of FILE_NAMES) tree.file(Buffer.from(name), 'names', name);
  const odd = Buffer.from([0x64, 0xff, 0x0a]);
  tree.dir('names', odd);
  tree.file('in a directory whose name is not text', 'names', odd, 'é');
  tree.dir('names', 'd'.repeat(255));
  tree.file('below', 'names', 'd'.repeat(255), 'e'.repeat(255));
  // These sort before `.`, which is where the originals lost them.
  for (const name of ['#top', '+top', ',top', '-top']) tree.file(`top ${name}`, name);
}

function makeSizes(tree: TreeMaker): void {
  tree.dir('sizes');
  for (const size of [0, 1, 511, 512, 513, 65536, MIB - 1, MIB, MIB + 1, 5 * MIB]) {
    tree.file(pseudoRandom(`size ${size}`, size), 'sizes', String(size));
  }
  tree.file(Buffer.alloc(3 * MIB + 5, 'compress me '), 'sizes', 'compressible');
  tree.dir('same');
  const content = pseudoRandom('same', 10_000);
  for (let count = 0; count < 60; count++) tree.file(content, 'same', `copy-${count}`);
  tree.dir('many');
  for (let count = 0; count < 300; count++) tree.file(`small ${count}\n`, 'many', `f${count}`);
  tree.dir('empty directory');
}

function makeSparse(tree: TreeMaker): void {
  tree.dir('sparse');
  tree.sparse('hole at start', 3 * GRID_BYTES, [[2 * GRID_BYTES, GRID_BYTES]]);
  tree.sparse('hole in middle', 3 * GRID_BYTES, [[0, GRID_BYTES], [2 * GRID_BYTES, GRID_BYTES]]); // prettier-ignore
  tree.sparse('hole at end', 3 * GRID_BYTES, [[0, GRID_BYTES]]);
  tree.sparse('hole at end of odd size', 2 * MIB + 12345, [[0, 10]]);
  tree.sparse('all hole', 3 * MIB + 17, []);
  tree.sparse('all hole of one byte', 1, []);
  tree.sparse('large', 200 * MIB, [[200 * MIB - 1, 1]]);
  tree.sparse('hole across blocks', 4 * MIB, [[0, MIB - 4096], [2 * MIB + 4096, 2 * MIB - 4096]]); // prettier-ignore
  tree.sparse('small data, odd place', 300_000, [[150_005, 10]]);
  const extents = Array.from({ length: 64 }, (_, at) => [2 * at * GRID_BYTES, 4 * KIB] as const);
  tree.sparse('many extents', 128 * GRID_BYTES, extents);
  const dense = Array.from({ length: 200 }, (_, at) => [2 * at * 4096, 4096] as const);
  tree.sparse('every other page', 400 * 4096, dense);
  // Zeros that were written are not holes, and must not become any.
  tree.file(Buffer.alloc(2 * MIB + 4096), 'sparse', 'written zeros');
  const mixed = Buffer.concat([pseudoRandom('m', MIB), Buffer.alloc(MIB), pseudoRandom('n', 99)]);
  tree.file(mixed, 'sparse', 'written zeros in the middle');
}

function makeLinks(tree: TreeMaker): void {
  for (const dir of ['links', 'links/a', 'links/b', 'symlinks']) tree.dir(dir);
  tree.file(pseudoRandom('linked', 2 * MIB + 3), 'links/a/one');
  for (const other of ['links/b/two', 'links/-first', 'links/z']) {
    linkSync(tree.at('links/a/one'), tree.at(other));
  }
  tree.file('', 'links/empty');
  linkSync(tree.at('links/empty'), tree.at('links/b/empty too'));
  symlinkSync('a/one', tree.at('links/symlink'));
  linkSync(tree.at('links/symlink'), tree.at('links/b/same symlink'));
  tree.node(0o010000, 'links/fifo');
  linkSync(tree.at('links/fifo'), tree.at('links/b/same fifo'));
  const targets: [name: string, target: Name][] = [
    ['dangling', 'no/such/place'],
    ['absolute', '/etc/passwd'],
    ['loop', 'loop'],
    ['to parent', '../..'],
    ['to directory', '../links'],
    ['zero', '0'],
    ['space', ' '],
    ['newline', '\nx\n'],
    ['at', '@x/00000000'],
    ['percent', '%41'],
    ['not text', Buffer.from([0xff, 0xfe, 0x0a, 0x80])],
    ['of 255 bytes', 's'.repeat(255)],
    ['of 4095 bytes', `${'t'.repeat(250)}/`.repeat(16) + 'u'.repeat(79)],
  ];
  for (const [name, target] of targets) symlinkSync(Buffer.from(target), tree.at('symlinks', name));
}

const DEEP_LEVELS = 20;

/** A chain of directories whose path is some 5,000 bytes, with things of each kind at its end. */
function makeDeep(tree: TreeMaker): void {
  tree.dir('deep');
  let dir = libc.openAt(libc.AT_FDCWD, libc.cString(tree.at('deep')), libc.O.DIRECTORY);
  for (let level = 0; level < DEEP_LEVELS; level++) {
    const name = libc.cString(String.fromCharCode(0x61 + level).repeat(250));
    libc.mkdirAt(dir, name, 0o755);
    const inner = libc.openAt(dir, name, libc.O.DIRECTORY | libc.O.NOFOLLOW);
    closeSync(dir);
    dir = inner;
  }
  const fd = libc.openAt(dir, libc.cString('file'), libc.O.WRONLY | libc.O.CREAT, 0o640);
  writeSync(fd, pseudoRandom('deep', MIB + 7));
  closeSync(fd);
  libc.setXattr(
    libc.xattrPathAt(dir, Buffer.from('file')),
    Buffer.from('user.deep'),
    Buffer.from('x'),
  );
  libc.symlinkAt(Buffer.from('file'), dir, libc.cString('symlink'));
  libc.mknodAt(dir, libc.cString('fifo'), 0o010600);
  libc.mkdirAt(dir, libc.cString('empty'), 0o700);
  libc.linkAt(dir, libc.cString('file'), libc.AT_FDCWD, libc.cString(tree.at('links/deep file')));
  closeSync(dir);
}

function makeSpecial(tree: TreeMaker): void {
  tree.node(0o010000, 'fifo');
  tree.node(0o140000, 'socket');
  if (!isRoot) return;
  tree.node(0o020000, 'char device', 1, 3);
  tree.node(0o060000, 'block device', 7, 200);
  tree.node(0o060000, 'device with large numbers', 2748, 987_654);
  linkSync(tree.at('char device'), tree.at('links/same device'));
}

function makeEmptyPlaces(tree: TreeMaker): void {
  for (const dir of ['modes', 'xattrs', 'times', 'owners']) tree.dir(dir);
  for (const mode of FILE_MODES) tree.file(`mode ${mode}`, 'modes', mode);
  for (const mode of DIRECTORY_MODES) {
    tree.dir('modes', `d${mode}`);
    tree.file('content', 'modes', `d${mode}`, 'file');
  }
  for (const name of XATTR_FILES) tree.file(name, 'xattrs', name);
  tree.dir('xattrs', 'dir');
  tree.dir('xattrs', 'acl dir');
  symlinkSync('user', tree.at('xattrs', 'symlink'));
  tree.node(0o010000, 'xattrs/fifo');
  for (const name of Object.keys(SPECIAL_TIMES)) {
    tree.file(name, 'times', name);
    tree.dir('times', `d ${name}`);
    symlinkSync(name, tree.at('times', `l ${name}`));
  }
  for (const name of Object.keys(OWNERS)) {
    tree.file(name, 'owners', name);
    symlinkSync(name, tree.at('owners', `l ${name}`));
    tree.dir('owners', `d ${name}`);
  }
}

const FILE_MODES = ['0000', '0444', '0777', '1644', '2755', '4755', '7777', '0001'];
const DIRECTORY_MODES = ['0000', '0555', '1777', '2775', '0700'];

function setModes(tree: TreeMaker): void {
  for (const mode of FILE_MODES) chmodSync(tree.at('modes', mode), parseInt(mode, 8));
  for (const mode of DIRECTORY_MODES) chmodSync(tree.at('modes', `d${mode}`), parseInt(mode, 8));
}

const XATTR_FILES = ['user', 'acl', 'capability', 'trusted'];
/** uid and gid; the last are the largest that a file can have. */
const OWNERS: Record<string, readonly [uid: number, gid: number]> = {
  'no names': [54321, 54322],
  'user without name': [54321, 0],
  'group without name': [1, 54322],
  daemon: [1, 1],
  largest: [4294967294, 4294967294],
};

/** POSIX ACL in the kernel's attribute form: version 2, then tag, permissions and id. */
function aclBytes(
  entries: readonly (readonly [tag: number, permissions: number, id?: number])[],
): Buffer {
  const bytes = Buffer.alloc(4 + entries.length * 8);
  bytes.writeUInt32LE(2, 0);
  entries.forEach(([tag, permissions, id], at) => {
    bytes.writeUInt16LE(tag, 4 + at * 8);
    bytes.writeUInt16LE(permissions, 6 + at * 8);
    bytes.writeUInt32LE(id ?? 0xffffffff, 8 + at * 8);
  });
  return bytes;
}

/** user::rw- user:54321:r-- group::r-- group:1:rwx mask::rw- other::--- */
const ACL = aclBytes([[1, 6], [2, 4, 54321], [4, 4], [8, 7, 1], [16, 6], [32, 0]]); // prettier-ignore
/** cap_net_bind_service+ep, as setcap writes it (revision 2, effective). */
const CAPABILITY = Buffer.from('0100000200040000000000000000000000000000', 'hex');

/** Not every filesystem has every kind of attribute; the tree then simply lacks it. */
function ifSupported(set: () => void): void {
  try {
    set();
  } catch (error) {
    if (!(error instanceof libc.SystemError) || !['ENOTSUP', 'EOPNOTSUPP'].includes(error.code)) {
      throw error;
    }
  }
}

function setXattrs(tree: TreeMaker, withTrusted: boolean): void {
  ifSupported(() => {
    for (const path of ['xattrs/user', 'xattrs/dir']) {
      tree.xattr(path, 'user.text', Buffer.from('some text'));
      tree.xattr(path, 'user.empty', Buffer.alloc(0));
      tree.xattr(path, 'user.binary', Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)));
    }
    tree.xattr('xattrs/user', 'user.na me=%\n@', Buffer.from('= \n%'));
    tree.xattr('xattrs/user', Buffer.from([...Buffer.from('user.'), 0xff, 0xe9]), Buffer.from('x'));
    tree.xattr('xattrs/user', 'user.large', pseudoRandom('large', 2500));
  });
  ifSupported(() => {
    tree.xattr('xattrs/acl', 'system.posix_acl_access', ACL);
    tree.xattr('xattrs/acl dir', 'system.posix_acl_access', ACL);
    tree.xattr('xattrs/acl dir', 'system.posix_acl_default', ACL);
  });
  if (!isRoot) return;
  ifSupported(() => tree.xattr('xattrs/capability', 'security.capability', CAPABILITY));
  if (!withTrusted) return;
  ifSupported(() => {
    for (const path of ['trusted', 'symlink', 'fifo', 'dir']) {
      tree.xattr(`xattrs/${path}`, 'trusted.lbs', Buffer.from([0, 1, 2, 255]));
    }
  });
}

function setOwners(tree: TreeMaker): void {
  for (const [name, [uid, gid]] of Object.entries(OWNERS)) {
    for (const path of [name, `l ${name}`, `d ${name}`])
      lchownSync(tree.at('owners', path), uid, gid);
  }
}

const SPECIAL_TIMES: Record<string, bigint> = {
  'year 1905': -2_040_000_000n * NS_PER_S + 5n,
  'year 1960': -315_619_200n * NS_PER_S + 123_456_789n,
  'just before 1970': -1n,
  'exactly 1970': 0n,
  'just after 1970': 1n,
  'whole second': 1_500_000_000n * NS_PER_S,
  'year 2100': 4_102_444_800n * NS_PER_S + 999_999_999n,
  'year 2300': 10_413_792_000n * NS_PER_S + 999_999_999n,
};
const DAY_NS = 86_400n * NS_PER_S;
const FIRST_TIME_NS = 1_000_000_000n * NS_PER_S;

/** Gives every entry its own time, contents before their directory. */
class TimeSetter {
  #count = 0n;

  tree(fd: number): void {
    for (const raw of readdirSync(`/proc/self/fd/${fd}`, { encoding: 'buffer' }).sort(
      Buffer.compare,
    )) {
      const name = libc.cString(raw);
      if (statusAt(fd, name).type === 'd') {
        const inner = libc.openAt(fd, name, libc.O.DIRECTORY | libc.O.NOFOLLOW);
        this.tree(inner);
        closeSync(inner);
      }
      libc.setTimeAt(fd, name, this.#timeOf(raw.toString('latin1')));
    }
  }

  #timeOf(name: string): bigint {
    const special = SPECIAL_TIMES[name.replace(/^[dl] /, '')];
    if (special !== undefined) return special;
    this.#count++;
    return FIRST_TIME_NS + this.#count * (DAY_NS / 7n + 123_456_789n);
  }
}

/** Times of the top itself, which tests also compare. */
export const TOP_TIME_NS = 987_654_321_123_456_789n;

export type HardTreeOptions = {
  /**
   * Everything belongs to this user, but for what the tree has to show other owners. Then it has
   * no `trusted.` attributes, which an ordinary user cannot even see.
   */
  readonly owner?: number;
};

/** Fills the empty directory `top`, and gives it odd attributes too. */
export function makeHardTree(top: string, options: HardTreeOptions = {}): void {
  const tree = new TreeMaker(top);
  makeNames(tree);
  makeSizes(tree);
  makeSparse(tree);
  makeLinks(tree);
  makeDeep(tree);
  makeSpecial(tree);
  makeEmptyPlaces(tree);
  if (isRoot) {
    if (options.owner !== undefined) {
      const run = spawnSync('chown', ['-hR', `${options.owner}:${options.owner}`, top]);
      if (run.status !== 0) throw new Error(`chown: ${String(run.stderr)}`);
    }
    setOwners(tree);
  }
  const fd = libc.openAt(libc.AT_FDCWD, libc.cString(top), libc.O.DIRECTORY);
  new TimeSetter().tree(fd);
  // After chown, which takes setuid bits and capabilities away; before modes, which lock us out.
  setXattrs(tree, options.owner === undefined);
  setModes(tree);
  libc.setTime(fd, TOP_TIME_NS);
  closeSync(fd);
}
