/**
 * What the local database need not know any more, because another machine has forgotten snapshots of
 * the store and collected segments. Called by backup, when its snapshot is there, and by gc.
 *
 * Invariant: nothing goes that a disk which is not mounted, or a second store with the same database,
 * would make look gone. A snapshot counts as forgotten only where some segment that it uses is there,
 * and a segment as collected only where no snapshot uses it: of one that is missing and used a good
 * file may come back.
 */
import type { BlockIndex } from './block-index.ts';
import { type OpenDatabase, databaseError } from './open-localdb.ts';

type SnapshotRow = { readonly id: number; readonly name: string };
type SegmentRow = { readonly name: string; readonly file: string };

/** Rows of snapshots, and which of them are of the store at hand. */
export class SnapshotsOfStore {
  readonly #segmentsOf;
  readonly #files: ReadonlySet<string>;

  /** Takes the names of all files of the store. */
  constructor({ db }: OpenDatabase, files: ReadonlySet<string>) {
    this.#files = files;
    this.#segmentsOf = db
      .prepare<[number], string>(
        'select s.file from segments_used u join segments s on s.id = u.segment where u.snapshot = ?',
      )
      .pluck();
  }

  /** True when the store has a segment that the snapshot uses. */
  wasMadeHere(snapshotId: number): boolean {
    for (const file of this.#segmentsOf.iterate(snapshotId)) if (this.#files.has(file)) return true;
    return false;
  }
}

/** Forgets what is gone; `files` are the names of all files of the store. @throws {LbsError} io, no-space */
export function forgetGone(
  open: OpenDatabase,
  index: BlockIndex,
  files: ReadonlySet<string>,
): void {
  const { db } = open;
  try {
    const rows = db.prepare<[], SnapshotRow>('select id, name from snapshots').all();
    const isThere = ({ name }: SnapshotRow) => hasDescriptor(files, name);
    // None of ours: it is another store, or an empty mount point.
    if (!rows.some(isThere)) return;
    const snapshots = new SnapshotsOfStore(open, files);
    const forgotten = rows.filter((row) => !isThere(row) && snapshots.wasMadeHere(row.id));
    removeSnapshots(open, forgotten);
    const unused = db
      .prepare<[], SegmentRow>(
        'select name, file from segments where id not in (select segment from segments_used)',
      )
      .all();
    const gone = unused.filter(({ file }) => !files.has(file));
    if (gone.length > 0) index.removeSegments(gone.map(({ name }) => name));
  } catch (error) {
    throw databaseError(open.file, 'write', error);
  }
}

function hasDescriptor(files: ReadonlySet<string>, snapshot: string): boolean {
  return files.has(`snapshot-${snapshot}.lbs`) || files.has(`snapshot-${snapshot}.cumulus`);
}

function removeSnapshots({ db }: OpenDatabase, rows: readonly SnapshotRow[]): void {
  if (rows.length === 0) return;
  const uses = db.prepare('delete from segments_used where snapshot = ?');
  const row = db.prepare('delete from snapshots where id = ?');
  const work = db.transaction(() => {
    for (const { id } of rows) {
      uses.run(id);
      row.run(id);
    }
  });
  work.immediate();
}
