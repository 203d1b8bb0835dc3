import test from 'ava';
import { parseEntry, referencesOf } from '../../src/format/entry.ts';
import { StanzaParser } from '../../src/format/stanza.ts';
import { readPlainStanza } from '../../src/maintain/plain-stanza.ts';

const SEGMENT = '4c41ff1a-48f5-4bdd-b714-c0089e23dca6';
const SHA256 = 'b'.repeat(64);
const FILE = `name: a/b%20c
btime: 1795279946
btime_ns: 693186819
checksum: sha1=${'a'.repeat(40)}
ctime: 1795279946
data: ${SEGMENT}/00000292
group: 0 (root)
mode: 0644
mtime: 1778312045
mtime_ns: 1
sha256: ${SHA256}
size: 6184
type: f
user: 1000

`;
const DIRECTORY = `name: a
ctime: 1795279946
group: 0 (root)
mode: 0755
mtime: 0
type: d
user: 0 (root)

`;

/** The entry of a stanza that is read in the usual way. */
function entryOf(text: string) {
  const parser = new StanzaParser();
  for (const line of text.split('\n')) {
    const result = parser.line(line);
    if (result.kind === 'stanza') return parseEntry(result.stanza);
  }
  throw new Error('no stanza');
}

test('a plain file is read as the usual way reads it', (t) => {
  for (const text of [FILE, FILE.replace('mode:', 'inode: 12/34\nlinks: 2\nmode:')]) {
    const before = 'name: x\n\n';
    const plain = readPlainStanza(`${before}${text}${DIRECTORY}`, before.length);
    const entry = entryOf(text);
    const { object, segment, sizeBytes, sha256 } = plain?.content ?? {};
    t.is(plain?.end, before.length + text.length);
    t.is(sizeBytes, entry.sizeBytes);
    t.is(sha256, entry.sha256);
    t.like(referencesOf(entry, 'prefix')[0], { segment, object, slice: undefined });
  }
});

test('a plain directory is read to its end', (t) => {
  t.deepEqual(readPlainStanza(DIRECTORY + FILE, 0), { end: DIRECTORY.length, content: undefined });
});

test('whatever is not plain is left alone', (t) => {
  const changes: readonly [string, string][] = [
    ['type: f', 'type: l'],
    ['mode: 0644', 'mode: 0948'],
    ['mtime: 1', 'mtime: 09'],
    ['mtime_ns: 1', 'mtime_ns: 1234567890'],
    ['user: 1000', 'user: 5000000000'],
    ['size: 6184', 'size: 0x10'],
    [SHA256, SHA256.toUpperCase()],
    ['/00000292', '/00000292[0+10]'],
    ['/00000292', `/00000292(sha1=${'a'.repeat(40)})`],
    ['/00000292', `/00000292 ${SEGMENT}/00000293`],
    ['/00000292\n', '/00000292\n    zero[5]\n'],
    ['data: ', 'data: @'],
    ['group:', 'flags: 10\ngroup:'],
    ['sha256:', 'sha256:\nsha256:'],
    ['user: 1000\n\n', 'user: 1000\nxattrs: user.a=b\n\n'],
    ['user: 1000\n\n', 'user: 1000\n'],
    ['user: 1000\n\n', 'user: 1000\nuser: x\n\n'],
    ['name: a', 'name: \n b'],
  ];
  for (const [from, to] of changes) {
    const text = FILE.replace(from, to);
    t.not(text, FILE);
    t.is(readPlainStanza(text, 0), undefined, to);
  }
});
