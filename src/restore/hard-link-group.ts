/** Which entries are names of one thing. Called by the plan of a restore, and by dump. */
import type { Entry } from '../format/entry.ts';

/**
 * What the names of one hard-linked thing have in common; undefined for a thing with one name.
 * Content is part of it: a file that changed between the readings of two of its names is put
 * back as it was read, and not with the content of the other name.
 */
export function groupOf(entry: Entry): string | undefined {
  if (entry.links <= 1 || entry.inode === undefined || entry.type === 'd') return undefined;
  const target = entry.target?.toString('base64') ?? '';
  const content = `${entry.sizeBytes} ${entry.sha256 ?? entry.checksum ?? ''}`;
  return `${entry.type} ${entry.inode} ${content} ${target}`;
}
