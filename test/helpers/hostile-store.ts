/** A store made by hand, with tar and text only: for snapshots that lbs itself would never write. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const SEGMENT = '12345678-9abc-4def-8123-456789abcdef';

/** Owners that every tester may set. */
const [UID, GID] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];

export type HandmadeFile = { readonly name: string; readonly content: string };

/** The stanza of a regular file whose content is object `number`. */
export function fileStanza({ name, content }: HandmadeFile, number: number): string {
  const sha1 = createHash('sha1').update(content).digest('hex');
  const object = `${SEGMENT}/${number.toString(16).padStart(8, '0')}`;
  return `name: ${name}\nchecksum: sha1=${sha1}\ndata: ${object}\ngroup: ${GID}\nmode: 0644\nmtime: 1000000000\nsize: ${content.length}\ntype: f\nuser: ${UID}\n\n`;
}

/** The stanza of a directory (`d`) or of a symlink with its target. */
export function plainStanza(type: 'd' | 'l', name: string, target?: string): string {
  const line = target === undefined ? '' : `target: ${target}\n`;
  return `name: ${name}\ngroup: ${GID}\nmode: 0755\nmtime: 1000000000\n${line}type: ${type}\nuser: ${UID}\n\n`;
}

/** Writes snapshot 20010101T000000: `objects` from number 0 on, then the log, then the root. */
export function makeHandmadeStore(store: string, objects: readonly string[], log: string): void {
  const dir = join(store, SEGMENT);
  mkdirSync(dir);
  const nameOf = (number: number) => `${SEGMENT}/${number.toString(16).padStart(8, '0')}`;
  const all = [...objects, log, `@${nameOf(objects.length)}\n`];
  const names = all.map((_, number) => nameOf(number));
  for (const [number, content] of all.entries())
    writeFileSync(join(store, names[number] ?? ''), content);
  const tar = spawnSync('tar', ['-cf', `${SEGMENT}.tar`, ...names], { cwd: store });
  if (tar.status !== 0) throw new Error(String(tar.stderr));
  rmSync(dir, { recursive: true });
  const descriptor = [
    'Format: LBS Snapshot v0.6',
    'Producer: by hand',
    'Date: 2001-01-01 00:00:00 +0000',
    `Root: ${nameOf(objects.length + 1)}`,
    'Segments:',
    `    ${SEGMENT}`,
    '',
  ];
  writeFileSync(join(store, 'snapshot-20010101T000000.lbs'), descriptor.join('\n'));
}
