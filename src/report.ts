/**
 * What a run tells the outside while it works: the contract between the stages and whoever
 * shows it (screen, JSON lines, a program that uses the library). Stages never print.
 */
import type { BytePath } from './std/byte-path.ts';

/** Trouble with one source entry, or a doubt about it: the run goes on, exit 3 at the end. */
export type SourceWarning = {
  readonly code:
    | 'vanished'
    | 'changed-while-reading'
    | 'changed-type'
    | 'unreadable'
    | 'unsupported-type'
    /** Of an archive made of a snapshot. */
    | 'unsupported-name'
    | 'suspected-corruption'
    | 'unusable-rules';
  readonly path: BytePath;
  /** What happened, without the path, as people read it. */
  readonly message: string;
};

/** What could not be put back exactly as recorded while restoring; exit 3 at the end. */
export type RestoreWarning = {
  readonly code:
    | 'owner'
    | 'mode'
    | 'time'
    | 'xattr'
    | 'holes'
    | 'name'
    | 'special'
    | 'hard-link'
    | 'in-the-way'
    | 'write';
  readonly path: BytePath;
  readonly message: string;
};

/** Something in a store that is not as it should be; exit 4 at the end, for `history` 12. */
export type Damage = {
  /**
   * The store's file, or the file of a snapshot, that is damaged; `history`: a snapshot that is
   * whole, but gone, or not the one that it was.
   */
  readonly what: 'store-file' | 'entry' | 'metadata' | 'history';
  /** Store file name, or the entry's path. */
  readonly name: string;
  readonly path?: BytePath;
  readonly snapshot?: string;
  readonly message: string;
};

/** A part of a snapshot's metadata that cannot be read, of the entry at `path` when that is known. */
export function metadataDamage(snapshot: string, message: string, path?: BytePath): Damage {
  const where = path === undefined ? {} : { path };
  return { what: 'metadata', name: snapshot, snapshot, message, ...where };
}

/** How a file was stored; as the family's programs print it. */
export type FileStatusWord = 'new' | 'old' | 'partial' | 'repack';

export type Progress = {
  readonly files: number;
  readonly bytes: number;
  /** Expected totals (from an earlier run, or a plan); undefined when unknown. */
  readonly totalFiles: number | undefined;
  readonly totalBytes: number | undefined;
  readonly path: BytePath | undefined;
};

export type ReportEvent =
  | { readonly type: 'warning'; readonly warning: SourceWarning | RestoreWarning }
  | { readonly type: 'damage'; readonly damage: Damage }
  /** One file was read (backup). `known`: the path was in the snapshot before. */
  | {
      readonly type: 'stored';
      readonly path: BytePath;
      readonly status: FileStatusWord;
      readonly known: boolean;
      readonly sizeBytes: number;
    }
  /** One entry was put in place (restore), or would be (a dry run). */
  | { readonly type: 'restored'; readonly path: BytePath; readonly sizeBytes: number }
  /** One entry was deleted, or moved to the undo directory (restore). */
  | { readonly type: 'deleted'; readonly path: BytePath }
  /** A file of the store that a dry run would read (restore). */
  | { readonly type: 'to-fetch'; readonly file: string; readonly sizeBytes: number }
  /** A file of a store was copied to another one, or would be (sync, heal). */
  | { readonly type: 'copied'; readonly file: string; readonly sizeBytes: number }
  /** One of several stores cannot be written to: the run goes on with the others. */
  | {
      readonly type: 'store-failed';
      readonly store: string;
      readonly message: string;
      readonly hint: string | undefined;
    }
  | { readonly type: 'progress'; readonly progress: Progress }
  /** A remark that needs no action and does not change the exit code. */
  | { readonly type: 'note'; readonly message: string };

/** Takes events; must be quick and must not throw. */
export type Report = (event: ReportEvent) => void;

/** A report that says nothing. */
export const silentReport: Report = () => undefined;
