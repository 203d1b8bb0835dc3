/** References in content texts: where they are, and the objects they name. */
import test from 'ava';
import {
  SEGMENT_NAME_CHARS,
  firstReference,
  isObjectReference,
  nextReference,
  objectNumber,
} from '../../src/backup/content-references.ts';

const SEGMENT = '7c18fb6f-0616-42cc-a985-5349a54add41';
const OTHER = '190aa356-34f5-4766-aa27-5f54acacda09';

/** Objects that the text refers to; the text stands between others. */
function referenced(text: string): [string, number][] {
  const before = `data: ${OTHER}/00000001\n\n`;
  const bytes = Buffer.from(`${before}${text}data: ${OTHER}/00000002\n`);
  const end = before.length + text.length;
  const found: [string, number][] = [];
  for (
    let at = firstReference(bytes, before.length, end);
    at >= 0;
    at = nextReference(bytes, at, end)
  ) {
    if (!isObjectReference(bytes, at)) continue;
    found.push([bytes.toString('latin1', at, at + SEGMENT_NAME_CHARS), objectNumber(bytes, at)]);
  }
  return found;
}

const CASES: readonly (readonly [text: string, ...objects: [string, number][]])[] = [
  [''],
  ['size: 0\n'],
  ['checksum: sha1=x\ndata: \nsize: 0\n'],
  ['data: zero[5]\nsize: 5\n'],
  [`data: ${SEGMENT}/00000000\n`, [SEGMENT, 0]],
  [`checksum: sha1=x\ndata: ${SEGMENT}/00abcdef\nsize: 9\n`, [SEGMENT, 0xabcdef]],
  [`data: ${SEGMENT}/00000010[0+5]\n    zero[5]\n    ${OTHER}/000000ff\nsize: 9\n    ${OTHER}/00000007\n`, [SEGMENT, 16], [OTHER, 255]],
  [`xdata: ${SEGMENT}/00000001\nmetadata: ${SEGMENT}/00000001\n`],
]; // prettier-ignore

for (const [text, ...objects] of CASES) {
  test(`the objects of ${JSON.stringify(text.replaceAll(SEGMENT, 'A').replaceAll(OTHER, 'B'))} are found`, (t) => {
    t.deepEqual(referenced(text), objects);
  });
}
