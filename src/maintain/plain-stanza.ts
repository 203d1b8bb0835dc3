/**
 * The stanzas that nearly all stanzas are: directories, and files of one block, as lbs writes them.
 * Read by one regular expression each, which takes a tenth of what reading any stanza takes.
 *
 * Invariant: what is taken here is what format/entry.ts reads without complaint, with the same
 * meaning. Anything else is left to it. Used by verify-contents.
 */

export type PlainContent = {
  readonly segment: string;
  /** An object that is the whole content. */
  readonly object: number;
  readonly sizeBytes: number;
  readonly sha256: string;
};

export type PlainStanza = {
  /** Where the text goes on. */
  readonly end: number;
  /** Of a file. */
  readonly content: PlainContent | undefined;
};

const time = (key: string) => `${key}: (?:0|[1-9]\\d{0,11})\\n(?:${key}_ns: \\d{1,9}\\n)?`;
const account = (key: string) => `${key}: (?:0|[1-9]\\d{0,8})(?: \\([^\\n%()]*\\))?\\n`;

const HEAD = `name: [^\\s][^\\n]*\\n(?:${time('btime')})?`;
const MODE = `mode: [0-7]{1,5}\\n${time('mtime')}`;
const FILE = new RegExp(
  HEAD +
    `checksum: sha1=[0-9a-f]{40}\\n${time('ctime')}` +
    `data: ([-0-9a-f]{36})/([0-9a-f]{8})\\n${account('group')}` +
    `(?:inode: [0-9/]+\\nlinks: [1-9]\\d{0,8}\\n)?${MODE}` +
    `sha256: ([0-9a-f]{64})\\nsize: (\\d{1,15})\\ntype: f\\n${account('user')}\\n`,
  'y',
);
const DIRECTORY = new RegExp(
  `${HEAD}${time('ctime')}${account('group')}${MODE}type: d\\n${account('user')}\\n`,
  'y',
);

/** The stanza at `start` of a text, if it is a plain one that ends there, too. */
export function readPlainStanza(text: string, start: number): PlainStanza | undefined {
  FILE.lastIndex = start;
  const match = FILE.exec(text);
  if (match !== null) {
    const [, segment = '', object = '', sha256 = '', size] = match;
    const content = {
      segment,
      object: Number.parseInt(object, 16),
      sizeBytes: Number(size),
      sha256,
    };
    return { end: FILE.lastIndex, content };
  }
  DIRECTORY.lastIndex = start;
  return DIRECTORY.test(text) ? { end: DIRECTORY.lastIndex, content: undefined } : undefined;
}
