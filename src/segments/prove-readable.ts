/**
 * The proof, once per run and filter, that what the filter wrote can be read back: the first
 * segment goes through the reverse filter and must give exactly the tar bytes that went in.
 *
 * The tar text is read by tar-stream and not by our own reader, so that a mistake in our idea of
 * tar cannot approve itself.
 */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { LbsError, messageOf } from '../errors.ts';
import { shownCommand } from '../std/shown-command.ts';
import type { OpenFile } from '../stores/store.ts';
import type { Filter } from './filter.ts';
import type { ReadingOptions } from './segment-source.ts';
import { type Reading, type WayBack, unfilter, wayBack } from './unfilter.ts';

export type Proof = {
  readonly filter: Filter;
  /** Of the file, with what encryption adds to that of the filter. */
  readonly extension: string;
  readonly reading: ReadingOptions;
  /** SHA-256 of the tar bytes that went into the filter. */
  readonly expected: Buffer;
  /** Members the tar file must have. */
  readonly objects: number;
  readonly note: (message: string) => void;
};

/** @throws {LbsError} filter-failed when what was stored cannot be read back as it was */
export async function proveReadable(file: OpenFile, proof: Proof): Promise<void> {
  const { extension, note } = proof;
  const reverse = wayBack(extension, readingOf(proof));
  if (reverse === undefined) {
    note(
      `cannot prove that segments are readable: no reverse filter is known for "${extension}" (--unfilter=${extension}=COMMAND)`,
    );
    return;
  }
  const shown = shownWay(reverse, extension);
  try {
    const { digest, members } = await readBack(file, proof);
    if (digest.equals(proof.expected) && members === proof.objects) return;
  } catch (error) {
    // Common and right: a machine that may only encrypt.
    if (error instanceof LbsError && error.code === 'decryption-key') {
      note('cannot prove that segments are readable: the secret key is not on this machine');
      return;
    }
    if (error instanceof LbsError && error.code === 'filter-missing') {
      note(`cannot prove that segments are readable: ${error.message}`);
      return;
    }
    throw unreadable(proof, shown, error);
  }
  throw unreadable(proof, shown, undefined);
}

function readingOf({ reading: { unfilters, decryptKey } }: Proof): Reading {
  return { unfilters, findSessionKey: decryptKey?.find };
}

function shownWay(way: WayBack, extension: string): string {
  return way.kind === 'command'
    ? `"${shownCommand(way.command)}"`
    : `the reading of ${extension || 'plain'} files`;
}

function unreadable({ filter }: Proof, shown: string, cause: unknown): LbsError {
  const why = cause === undefined ? 'it gives other bytes' : messageOf(cause);
  return new LbsError(
    'filter-failed',
    `what the filter "${shownCommand(filter.command)}" wrote cannot be read back by ${shown}: ${why}`,
    {
      cause,
      hint: `nothing was published; do --filter and --filter-extension (now "${filter.extension}") belong together? See lbs-filters(7)`,
    },
  );
}

async function readBack(
  file: OpenFile,
  proof: Proof,
): Promise<{ digest: Buffer; members: number }> {
  const hash = createHash('sha256');
  const raw = unfilter(file, proof.extension, readingOf(proof));
  async function* hashed() {
    for await (const bytes of raw) {
      hash.update(bytes);
      // tar-stream keeps what it gets while the next is read.
      yield Buffer.from(bytes);
    }
  }
  const source = Readable.from(hashed());
  // Loaded on use: a run that stores nothing has no need of it.
  const { extract } = await import('tar-stream');
  const tar = extract();
  // A failing source must end the iteration below instead of going unnoticed.
  source.on('error', (error) => tar.destroy(error));
  source.pipe(tar);
  let members = 0;
  for await (const entry of tar) {
    members++;
    entry.resume();
  }
  return { digest: hash.digest(), members };
}
