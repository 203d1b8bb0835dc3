/** `lbs stanza`: the metadata of one entry as it is stored. */
import { EXIT, LbsError } from '../errors.ts';
import { formatObjectName } from '../format/reference.ts';
import type { RawStanza } from '../maintain/raw-stanza.ts';
import { showText } from '../std/byte-path.ts';
import { ByteOutput } from './byte-output.ts';
import type { CommandInput } from './command.ts';
import { jsonPath } from './json-report.ts';
import { openReport } from './open-report.ts';
import { STANZA } from './options-inside.ts';
import { readOptionsOf, refuseOperands } from './store-flags.ts';

/** Prints the stanza, byte for byte unless to a terminal or as JSON. */
export async function runStanza(input: CommandInput): Promise<number> {
  const { flags, outputs } = input;
  const report = openReport('stanza', flags, outputs);
  try {
    const usage = `stanza ${STANZA.usage.join('')}`;
    const reading = readOptionsOf(input, 'lbs stanza --store=/mnt/backup latest home/ann');
    refuseOperands(flags, 2, usage);
    const snapshot = flags.operandText(0, 'SNAPSHOT');
    const path = flags.operands[1];
    if (!snapshot || path === undefined) {
      const missing = snapshot ? 'no path given' : 'no snapshot given';
      throw new LbsError('usage', missing, { hint: `usage: lbs ${usage}` });
    }
    const { rawStanza } = await import('../maintain/raw-stanza.ts');
    const found = await rawStanza({ ...reading, snapshot, path, report: report.report });
    if (flags.isOn('json')) {
      outputs.out.line(stanzaJson(found));
    } else if (process.stdout.isTTY) {
      // Our stanzas are plain text; a store could hold anything.
      for (const line of found.bytes.toString('latin1').trimEnd().split('\n')) {
        outputs.out.line(showText(line));
      }
    } else await new ByteOutput(process.stdout, process.stdout.fd).write(found.bytes);
    return found.isDamaged ? EXIT.damaged : EXIT.done;
  } finally {
    report.close();
  }
}

/** One JSON object, without a line end. */
function stanzaJson({ path, snapshot, segment, object, ...found }: RawStanza): string {
  const fields = [...found.fields].map(([key, value]) =>
    jsonPath(key, Buffer.from(value, 'latin1')),
  );
  return JSON.stringify({
    message_type: 'stanza',
    snapshot_id: snapshot,
    ...jsonPath('path', path),
    object: formatObjectName(segment, object),
    offset: found.offsetBytes,
    length: found.bytes.length,
    fields: Object.fromEntries(fields.flatMap((field) => Object.entries(field))),
    ...jsonPath('stanza', found.bytes),
  });
}
