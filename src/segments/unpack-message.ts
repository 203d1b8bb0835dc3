/**
 * The data of a decrypted message that was compressed, as gpg does where nobody tells it not to.
 *
 * Called by unfilter, which bounds what comes out.
 */
import { createInflate, createInflateRaw } from 'node:zlib';
import { LbsError, messageOf } from '../errors.ts';
import { LiteralData, PacketReader, corruptMessage } from '../format/openpgp-packet.ts';
import type { OpenFile } from '../stores/store.ts';
import type { Packing } from './decrypt-segment.ts';
import { decoded, readChunks } from './stream-chunks.ts';
import { throughCommand } from './unfilter-command.ts';

const CHUNK_BYTES = 1024 * 1024;

function packetsIn(
  file: OpenFile,
  packing: Exclude<Packing, 'data'>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  const options = { chunkSize: CHUNK_BYTES };
  switch (packing) {
    case 'packets':
      return readChunks(file, true);
    case 'zip':
      return decoded(readChunks(file, false), createInflateRaw(options));
    case 'zlib':
      return decoded(readChunks(file, false), createInflate(options));
    case 'bzip2':
      return throughCommand(file, 'bzip2 -dc', signal);
  }
}

/** The data in `file`, in chunks that are valid until the next one. @throws {LbsError} as `unfilter` */
export async function* unpacked(
  file: OpenFile,
  packing: Exclude<Packing, 'data'>,
  signal?: AbortSignal,
): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  const literal = new LiteralData((data) => parts.push(data));
  const reader = new PacketReader(literal);
  try {
    for await (const chunk of packetsIn(file, packing, signal)) {
      reader.push(chunk);
      yield* parts;
      parts = [];
    }
  } catch (error) {
    if (error instanceof LbsError) throw error;
    throw corruptMessage(messageOf(error));
  }
  if (!reader.isWhole) throw corruptMessage('its data ends too early');
  literal.end();
}
