/**
 * Which objects of which segments are needed for which bytes of which file.
 *
 * Filled from the metadata by restore and verify, read by deliver-contents, which visits every
 * segment once. It is a temporary database without a name: memory stays flat for millions of
 * files, and nothing is left behind however the process ends.
 */
import type Database from 'better-sqlite3';
import type { ByteRange } from '../format/entry.ts';
import type { Reference } from '../format/reference.ts';
import { openScratchDatabase } from '../std/scratch-database.ts';
import { layoutOf, type PlacedReference } from './file-layout.ts';

const CACHE_KIB = 4 * 1024;
/** Rows fetched at once: some 100 KiB of memory. */
const PAGE_ROWS = 1000;

/** A part of an object, and where it belongs. */
export type Piece = {
  readonly object: number;
  readonly file: number;
  /** Place in the file. */
  readonly offset: number;
  /** The bytes of the object that are meant. */
  readonly start: number;
  readonly length: number;
  /** Size that the whole object must have, when that is known. */
  readonly exact: number | null;
  /** Checksum that the whole object must have, when the reference carries one. */
  readonly checksum: string | null;
};

type PieceRow = [
  segment: number,
  object: number,
  file: number,
  offset: number,
  start: number,
  length: number,
  exact: number | null,
  checksum: string | null,
];

// Clustered by the order of reading. Files come in path order and were mostly stored in it, so
// nearly all rows are appended.
const SCHEMA = `
  create table pieces (
    segment integer not null,
    object integer not null,
    file integer not null,
    offset integer not null,
    start integer not null,
    length integer not null,
    exact integer,
    checksum text,
    primary key (segment, object, file, offset)
  ) without rowid;
`;

export class ContentPlan {
  readonly #db: Database.Database;
  readonly #add;
  readonly #page;
  readonly #ofObject;
  readonly #segments = new Map<string, number>();
  #bytes = 0;
  #pieces = 0;

  constructor() {
    this.#db = openScratchDatabase(SCHEMA, CACHE_KIB);
    this.#add = this.#db.prepare<PieceRow>(
      'insert or ignore into pieces values (?, ?, ?, ?, ?, ?, ?, ?)',
    );
    const columns = 'select object, file, offset, start, length, exact, checksum from pieces';
    this.#page = this.#db.prepare<[number, number, number, number, number], Piece>(
      `${columns} where segment = ? and (object, file, offset) > (?, ?, ?)
       order by object, file, offset limit ?`,
    );
    this.#ofObject = this.#db.prepare<[number, number], Piece>(
      `${columns} where segment = ? and object = ? order by file, offset`,
    );
  }

  /**
   * Adds the content of a file with the recorded `holes`; zeros need nothing. Returns where each reference belongs, zeros
   * included. @throws {LbsError} format-syntax, with nothing added, when the sizes do not add up
   */
  addFile(
    fileId: number,
    references: readonly Reference[],
    sizeBytes: number,
    holes: readonly ByteRange[] = [],
  ): readonly PlacedReference[] {
    const layout = layoutOf(references, sizeBytes, holes);
    for (const { reference, offset, length } of layout) {
      if (reference.kind === 'zero' || length === 0) continue;
      const { object, slice, exactSize, checksum } = reference;
      const start = slice?.start ?? 0;
      const exact = exactSize ?? (slice === undefined ? length : null);
      const segment = this.#segmentId(reference.segment);
      this.#add.run(segment, object, fileId, offset, start, length, exact, checksum ?? null);
      this.#bytes += length;
      this.#pieces++;
    }
    return layout;
  }

  /** True when the pieces of a layout that was added will be delivered from the file's start on. */
  isReadInOrder(layout: readonly PlacedReference[]): boolean {
    let lastSegment = -1;
    let lastObject = -1;
    for (const { reference, length } of layout) {
      if (reference.kind === 'zero' || length === 0) continue;
      const segment = this.#segmentId(reference.segment);
      const isBefore = segment === lastSegment && reference.object < lastObject;
      if (segment < lastSegment || isBefore) return false;
      lastSegment = segment;
      lastObject = reference.object;
    }
    return true;
  }

  /** Makes sure that `segment` is visited, even if no file needs it. */
  addSegment(segment: string): void {
    this.#segmentId(segment);
  }

  #segmentId(segment: string): number {
    let id = this.#segments.get(segment);
    if (id === undefined) this.#segments.set(segment, (id = this.#segments.size));
    return id;
  }

  /** Segments in the order of their first appearance. */
  get segments(): readonly string[] {
    return [...this.#segments.keys()];
  }

  /** Sum of the lengths of all pieces. */
  get bytes(): number {
    return this.#bytes;
  }

  get pieces(): number {
    return this.#pieces;
  }

  /** All pieces of a segment, by object, file and offset. Other calls are allowed meanwhile. */
  *piecesOf(segment: string): Generator<Piece> {
    const id = this.#segments.get(segment) ?? -1;
    let last = { object: -1, file: -1, offset: -1 };
    for (;;) {
      const page = this.#page.all(id, last.object, last.file, last.offset, PAGE_ROWS);
      yield* page;
      const end = page.at(-1);
      if (end === undefined || page.length < PAGE_ROWS) return;
      last = end;
    }
  }

  /** The pieces of one object; for objects that come out of order. */
  piecesOfObject(segment: string, object: number): Piece[] {
    return this.#ofObject.all(this.#segments.get(segment) ?? -1, object);
  }

  close(): void {
    this.#db.close();
  }
}
