/**
 * The first depth of verify: files of the store against the checksums files of the snapshots.
 *
 * The descriptor has the checksums of the checksums files, those have the checksums of the
 * segments; so with a signed descriptor all bytes are covered. A file that both lists name is
 * read once. Called by verify. Format: lbs-format(5), "CHECKSUMS FILES".
 */
import { createHash, webcrypto } from 'node:crypto';
import { read } from 'node:fs';
import { promisify } from 'node:util';
import { LbsError, messageOf } from '../errors.ts';
import { checksumOf, parseChecksum } from '../format/checksum.ts';
import { parseSegmentFile } from '../format/snapshot-name.ts';
import { parseSums } from '../format/sums-file.ts';
import { isDamage } from '../metadata/metadata-objects.ts';
import type { SegmentSource } from '../segments/segment-source.ts';
import { type OpenSnapshot, readSmallFile } from '../snapshots/open-snapshot.ts';
import { type OpenFile, SMALL_FILE_BYTES_MAX, type Store } from '../stores/store.ts';
import type { DamageLog } from './damage-log.ts';
import type { VerifyProgress } from './verify-progress.ts';
import { freeMemory } from '../std/free-memory.ts';

const readAsync = promisify(read);
const { subtle } = webcrypto;
const READ_BYTES = 1024 * 1024;
/** Files of up to this size are read whole: a segment of 8 MiB and what it may grow beyond that. */
const WHOLE_BYTES_MAX = 12 * 1024 * 1024;

type Algorithm = 'sha1' | 'sha256';
const SUBTLE_NAME = { sha1: 'SHA-1', sha256: 'SHA-256' } as const;
/** What the checksums files say of one file. */
type Expected = { sha1?: string; sha256?: string };

export class ChecksumVerifier {
  readonly #store: Store;
  readonly #source: SegmentSource;
  readonly #damage: DamageLog;
  readonly #progress: VerifyProgress;
  readonly #expected = new Map<string, Expected>();
  /** Used again for each file. */
  #whole: Buffer<ArrayBuffer> | undefined;
  /** Segments of which no file was found, neither in the store nor in a list. */
  readonly #damagedSegments = new Set<string>();

  constructor(source: SegmentSource, damage: DamageLog, progress: VerifyProgress) {
    this.#store = source.store;
    this.#source = source;
    this.#damage = damage;
    this.#progress = progress;
  }

  /** Segments whose file is missing or not as it was stored. */
  get damagedSegments(): ReadonlySet<string> {
    return this.#damagedSegments;
  }

  /** Reads the checksums files of a snapshot, and notes what they say of the segments. */
  addSnapshot({ name, file: { name: descriptorFile }, descriptor }: OpenSnapshot): void {
    const { checksums, checksumsSha256, segments } = descriptor;
    const sha1 = this.#readSums(name, 'sha1', checksums, checksumsSha256 === undefined);
    const sha256 = this.#readSums(name, 'sha256', checksumsSha256, false);
    const listed = new Set<string>();
    for (const [algorithm, sums] of [['sha1', sha1] as const, ['sha256', sha256] as const]) {
      for (const [file, hex] of sums ?? []) {
        this.#expect(name, algorithm, file, hex);
        const segment = parseSegmentFile(file)?.segment;
        if (segment !== undefined) listed.add(segment);
      }
    }
    const named = new Set(segments);
    const strays = [...listed].filter((segment) => !named.has(segment)).length;
    if (strays > 0) {
      const message = `its checksums files list ${strays} segments that it does not name`;
      this.#damage.add({ what: 'store-file', name: descriptorFile, snapshot: name, message });
    }
    for (const segment of segments) {
      if (listed.has(segment)) continue;
      const file = this.#source.fileOf(segment)?.name;
      if (file === undefined) {
        if (this.#damagedSegments.has(segment)) continue;
        this.#lose(segment, `${segment}.tar`, 'missing');
      } else if (sha1 !== undefined && sha256 !== undefined) {
        // Old programs left out segments that their local database did not know; we never do.
        this.#lose(segment, file, `the checksums files of ${name} do not list it`);
      }
    }
  }

  #lose(segment: string | undefined, file: string, message: string): void {
    if (segment !== undefined) this.#damagedSegments.add(segment);
    this.#damage.add({ what: 'store-file', name: file, message });
  }

  #expect(snapshot: string, algorithm: Algorithm, file: string, hex: string): void {
    let expected = this.#expected.get(file);
    if (expected === undefined) this.#expected.set(file, (expected = {}));
    expected[algorithm] ??= hex;
    if (expected[algorithm] === hex) return;
    const message = `it has another ${algorithm} of ${file} than the files of other snapshots`;
    this.#damage.add({
      what: 'store-file',
      name: sumsFile(snapshot, algorithm),
      snapshot,
      message,
    });
  }

  /** The content of a checksums file that is as the descriptor says; undefined of any other. */
  #readSums(
    snapshot: string,
    algorithm: Algorithm,
    expected: string | undefined,
    isRequired: boolean,
  ): ReadonlyMap<string, string> | undefined {
    const file = sumsFile(snapshot, algorithm);
    if (expected === undefined && this.#store.find(file) === undefined) {
      if (isRequired) {
        const message = 'missing, and the descriptor names no checksums at all';
        this.#damage.add({ what: 'store-file', name: file, snapshot, message });
      }
      return undefined;
    }
    try {
      const bytes = readSmallFile(this.#store, file, SMALL_FILE_BYTES_MAX);
      this.#progress.countFile(bytes.length);
      const recorded = expected === undefined ? undefined : parseChecksum(expected);
      if (
        recorded !== undefined &&
        checksumOf(recorded.algorithm, bytes) !== `${recorded.algorithm}=${recorded.hex}`
      ) {
        throw new LbsError('checksum-mismatch', 'it is not as the descriptor says');
      }
      return parseSums(bytes.toString('utf8'), file);
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#damage.add({ what: 'store-file', name: file, snapshot, message: messageOf(error) });
      return undefined;
    }
  }

  /** Reads every file that a checksums file lists, and compares. @throws {LbsError} interrupted */
  async check(): Promise<void> {
    const files = [...this.#expected.keys()].sort();
    const sizes = files.map((file) => this.#store.find(file)?.sizeBytes);
    this.#progress.startStage(
      files.length,
      sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0),
    );
    for (const [index, file] of files.entries()) {
      const segment = parseSegmentFile(file)?.segment;
      if (sizes[index] === undefined) {
        this.#lose(segment, file, 'missing');
        continue;
      }
      const trouble = await this.#troubleWith(file, this.#expected.get(file) ?? {});
      if (trouble !== undefined) this.#lose(segment, file, trouble);
      this.#progress.countFile(0);
    }
    if (this.#whole !== undefined) freeMemory(this.#whole);
    this.#whole = undefined;
  }

  async #troubleWith(file: string, expected: Expected): Promise<string | undefined> {
    const algorithms = (['sha1', 'sha256'] as const).filter(
      (algorithm) => expected[algorithm] !== undefined,
    );
    let actual: Expected;
    try {
      actual = await this.#digestsOf(file, algorithms);
    } catch (error) {
      if (error instanceof LbsError && !isDamage(error)) throw error;
      return `cannot be read: ${messageOf(error)}`;
    }
    const wrong = algorithms.filter((algorithm) => actual[algorithm] !== expected[algorithm]);
    if (wrong.length === 0) return undefined;
    return `its ${wrong.join(' and its ')} checksum ${wrong.length > 1 ? 'do' : 'does'} not match`;
  }

  async #digestsOf(name: string, algorithms: readonly Algorithm[]): Promise<Expected> {
    const file = this.#store.open(name);
    try {
      if (file.sizeBytes <= WHOLE_BYTES_MAX) return await this.#digestsOfWhole(file, algorithms);
      return await this.#digestsInParts(file, algorithms);
    } finally {
      file.close();
    }
  }

  /** The digests of a file of a usual size, each on a thread of its own. */
  async #digestsOfWhole(file: OpenFile, algorithms: readonly Algorithm[]): Promise<Expected> {
    this.#whole ??= Buffer.allocUnsafeSlow(WHOLE_BYTES_MAX);
    let length = 0;
    for (let read = -1; read !== 0 && length < WHOLE_BYTES_MAX; length += read) {
      const left = WHOLE_BYTES_MAX - length;
      ({ bytesRead: read } = await readAsync(file.fd, this.#whole, length, left, length));
    }
    const bytes = this.#whole.subarray(0, length);
    const digests = await Promise.all(
      algorithms.map(async (algorithm) => {
        const digest = await subtle.digest(SUBTLE_NAME[algorithm], bytes);
        return [algorithm, Buffer.from(digest).toString('hex')] as const;
      }),
    );
    this.#progress.countBytes(length);
    return Object.fromEntries(digests);
  }

  async #digestsInParts(file: OpenFile, algorithms: readonly Algorithm[]): Promise<Expected> {
    const hashes = algorithms.map((algorithm) => [algorithm, createHash(algorithm)] as const);
    // Two buffers: the disk reads into one while the other is hashed.
    const buffers = [Buffer.allocUnsafeSlow(READ_BYTES), Buffer.allocUnsafeSlow(READ_BYTES)];
    const readAt = (position: number, turn: number) =>
      readAsync(file.fd, buffers[turn & 1] ?? Buffer.alloc(READ_BYTES), 0, READ_BYTES, position);
    let position = 0;
    let pending = readAt(0, 0);
    for (let turn = 1; ; turn++) {
      const { bytesRead, buffer } = await pending;
      if (bytesRead === 0) break;
      position += bytesRead;
      pending = readAt(position, turn);
      // Waited for at the start of the next turn, or not at all when this one throws.
      pending.catch(() => undefined);
      for (const [, hash] of hashes) hash.update(buffer.subarray(0, bytesRead));
      this.#progress.countBytes(bytesRead);
    }
    return Object.fromEntries(hashes.map(([algorithm, hash]) => [algorithm, hash.digest('hex')]));
  }
}

function sumsFile(snapshot: string, algorithm: Algorithm): string {
  return `snapshot-${snapshot}.${algorithm}sums`;
}
