/**
 * The first pass over the metadata: what is to be restored, what of it is in the target already,
 * which objects are needed, and how much room. Fills the ledger and the content plan.
 *
 * Called by restore.ts. Nothing is written here, so every refusal comes before the first change.
 */
import { LbsError, messageOf } from '../errors.ts';
import { type Entry, referencesOf } from '../format/entry.ts';
import { parseChecksum } from '../format/checksum.ts';
import type { SliceDialect } from '../format/reference.ts';
import { isWithin, showPath } from '../std/byte-path.ts';
import { normaliseRanges, totalLength } from './byte-ranges.ts';
import { type Existing, compareExisting } from './compare-existing.ts';
import type { ContentPlan } from './content-plan.ts';
import type { EntrySelection } from './entry-selection.ts';
import { groupOf } from './hard-link-group.ts';
import type { Leftovers } from './leftovers.ts';
import { type NewLedgerEntry, STATE, type RestoreLedger } from './restore-ledger.ts';
import type { Overwrite } from './restore-options.ts';
import type { RestoreTally } from './restore-tally.ts';
import { safePath } from './safe-target.ts';
import type { Role } from './select-paths.ts';
import { type AttributeSetter, ownerOf } from './set-attributes.ts';
import { NAME, type TargetNames } from './target-names.ts';
import type { TargetTree } from './target-tree.ts';

/** Room is taken in blocks; this is the usual size of one. */
const DISK_BLOCK_BYTES = 4096;

export type PlanSettings = {
  readonly dialect: SliceDialect;
  /** Written by another program: no extended attributes recorded, names as typed. */
  readonly isForeign: boolean;
  readonly numericOwner: boolean;
  readonly overwrite: Overwrite;
};

export type PlanStages = {
  readonly ledger: RestoreLedger;
  readonly plan: ContentPlan;
  readonly attributes: AttributeSetter;
  readonly tally: RestoreTally;
  readonly selection: EntrySelection;
  /** Every name the snapshot speaks of, where that is needed. */
  readonly names: TargetNames | undefined;
  /** The target as it is; undefined when it is not there yet. */
  readonly tree: TargetTree | undefined;
  /** What is left in the target of earlier restores. */
  readonly leftovers: Leftovers;
};

/** What the restore will take. */
export type Needs = { bytes: number; freedBytes: number; entries: number };

/**
 * Plans the restore of `entries`.
 * @throws {LbsError} source-missing when a path asked for is not in the snapshot, interrupted
 */
export async function planRestore(
  entries: AsyncIterable<Entry>,
  settings: PlanSettings,
  stages: PlanStages,
): Promise<Needs> {
  const planner = new Planner(settings, stages);
  for await (const entry of entries) {
    await planner.add(entry);
    await stages.tally.rest();
  }
  const missing = stages.selection.unmatched();
  if (missing.length > 0) {
    const shown = missing.map((path) => showPath(path)).join(', ');
    throw new LbsError('source-missing', `not in the snapshot: ${shown}`, {
      hint: 'nothing was written; "lbs ls" shows the paths of a snapshot',
    });
  }
  stages.tally.expect(planner.filesExpected, planner.bytesExpected);
  return planner.needs;
}

/** An entry on its way into the ledger. */
type Candidate = {
  readonly entry: Entry;
  /** Path in the snapshot, and below the target; `''` is the top. */
  readonly source: Buffer;
  readonly path: Buffer;
  readonly role: Role;
  /** Asked for, although its place may be the target itself, which has the role of a parent. */
  readonly isAskedFor: boolean;
};

class Planner {
  readonly needs: Needs = { bytes: 0, freedBytes: 0, entries: 0 };
  filesExpected = 0;
  bytesExpected = 0;
  readonly #settings: PlanSettings;
  readonly #stages: PlanStages;
  /** Directories on the way to what is asked for, made only when something in them is. */
  #parents: Candidate[] = [];

  constructor(settings: PlanSettings, stages: PlanStages) {
    this.#settings = settings;
    this.#stages = stages;
  }

  async add(entry: Entry): Promise<void> {
    const { tally } = this.#stages;
    try {
      const candidate = this.#candidate(entry);
      if (candidate === undefined) return;
      const { path, role } = candidate;
      this.#parents = this.#parents.filter(
        (parent) => parent.path.length === 0 || isWithin(path, parent.path),
      );
      if (role === 'parent') {
        this.#parents.push(candidate);
        // Its content is asked for, and it may be empty.
        if (candidate.isAskedFor) await this.#addParents();
        return;
      }
      tally.entries++;
      if (entry.type === 'f') tally.files++;
      if (path.length === 0 && entry.type !== 'd') {
        throw new LbsError('unsafe-path', 'the top of the snapshot is not a directory');
      }
      await this.#addParents();
      await this.#addCandidate(candidate);
    } catch (error) {
      if (!(error instanceof LbsError)) throw error;
      // Not of this entry: the restore was interrupted, or the store went away.
      if (error.code === 'interrupted' || error.code === 'store-missing') throw error;
      tally.damage(entry.path, error.message);
    }
  }

  async #addParents(): Promise<void> {
    const parents = this.#parents;
    this.#parents = [];
    for (const parent of parents) await this.#addCandidate(parent);
  }

  /** Undefined for what is left alone. @throws {LbsError} unsafe-path */
  #candidate(entry: Entry): Candidate | undefined {
    const { selection, names } = this.#stages;
    const source = safePath(entry.path, this.#settings.isForeign);
    const role = selection.roleOf(source, entry.type === 'd');
    const path = selection.placeOf(source);
    if (path === undefined) return undefined;
    this.#stages.leftovers.isRecorded(path);
    if (role === undefined || (role === 'parent' && entry.type !== 'd')) {
      names?.claim(path, NAME.left, source);
      return undefined;
    }
    // What a directory's name is stripped off becomes the target, which is its user's.
    const isTargetItself = path.length === 0 && source.length > 0;
    const isAskedFor = role === 'selected';
    return { entry, source, path, role: isTargetItself ? 'parent' : role, isAskedFor };
  }

  async #addCandidate(candidate: Candidate): Promise<void> {
    const { entry, path, role } = candidate;
    const { ledger, tally } = this.#stages;
    const planned = this.#planned(entry, path, role);
    const group = groupOf(entry);
    const first = group === undefined ? undefined : ledger.firstOf(group);
    const existing = await this.#existing(planned, first !== undefined);
    // A directory on the way to something is gone into, whatever its time is.
    const isOnTheWay = role === 'parent' && existing?.isDirectory === true;
    const isKept = existing?.isKept === true && !isOnTheWay;
    const isBlocked = existing?.isDirectory === true && !isKept;
    if (!this.#claimName(candidate, { isKept, isBlocked })) return;
    if (!existing && path.length > 0) this.needs.entries++;
    if (isKept) {
      if (entry.type !== 'd') tally.kept++;
      ledger.add({ ...planned, state: STATE.kept });
      if (entry.type === 'd' && existing?.isDirectory === false) ledger.keepInPlaceOf(path);
    } else if (first !== undefined) {
      ledger.add({ ...planned, state: STATE.link, first });
    } else {
      const id = this.#addFirst(entry, planned, existing);
      if (group !== undefined && id !== undefined) ledger.startGroup(group, id);
    }
  }

  /** False, with a warning, when another entry has this name in the target already. */
  #claimName(
    { entry, path, source, isAskedFor }: Candidate,
    { isKept, isBlocked }: { isKept: boolean; isBlocked: boolean },
  ): boolean {
    const { names, tally } = this.#stages;
    if (names === undefined) return true;
    const isDirectory = entry.type === 'd';
    const replaced = isBlocked ? NAME.replaced : NAME.other;
    const other = isKept || isDirectory ? NAME.kept : replaced;
    if (names.claim(path, isDirectory && isAskedFor ? NAME.directory : other, source)) return true;
    const kind = names.kindOf(path);
    if (!isDirectory || kind === NAME.other || kind === NAME.replaced) {
      tally.warn(
        'in-the-way',
        source,
        'it is left out: without its leading components it has the name of another path',
      );
    }
    return false;
  }

  /** What has the name in the target already; undefined when a new inode will be needed. */
  async #existing(planned: NewLedgerEntry, isLink: boolean): Promise<Existing | undefined> {
    const { tree, attributes, tally } = this.#stages;
    if (tree === undefined) return undefined;
    const isContent = planned.type === 'f' && !isLink;
    const { overwrite } = this.#settings;
    return compareExisting({ tree, attributes, tally }, planned, overwrite, isContent);
  }

  #planned(entry: Entry, path: Buffer, role: Role): NewLedgerEntry {
    const { numericOwner, isForeign } = this.#settings;
    const owner = ownerOf(entry, numericOwner);
    const checksum = entry.sha256 === undefined ? entry.checksum : `sha256=${entry.sha256}`;
    if (checksum !== undefined) parseChecksum(checksum);
    return {
      path,
      type: entry.type,
      role,
      state: STATE.make,
      first: undefined,
      links: entry.links,
      sizeBytes: entry.sizeBytes,
      checksum,
      wish: {
        mode: entry.mode,
        uid: owner.uid,
        gid: owner.gid,
        mtime: entry.mtime,
        xattrs: isForeign ? undefined : entry.xattrs,
      },
      zeros: [],
      holes: [],
      target: entry.target,
      device: entry.device,
    };
  }

  /** Adds an entry that is not a further name of another; undefined when it is damaged. */
  #addFirst(
    entry: Entry,
    planned: NewLedgerEntry,
    existing: Existing | undefined,
  ): number | undefined {
    const { ledger } = this.#stages;
    if (entry.type !== 'f') return ledger.add(planned);
    if (existing?.isEqual === true) {
      return ledger.add({ ...planned, state: STATE.equal });
    }
    const id = this.#addContent(entry, planned);
    if (id === undefined) return undefined;
    this.needs.freedBytes += existing?.freedBytes ?? 0;
    this.filesExpected++;
    this.bytesExpected += entry.sizeBytes;
    return id;
  }

  #addContent(entry: Entry, planned: NewLedgerEntry): number | undefined {
    const { ledger, plan, tally } = this.#stages;
    const { sizeBytes } = entry;
    try {
      const references = referencesOf(entry, this.#settings.dialect);
      const recorded = entry.holes && normaliseRanges(entry.holes, sizeBytes);
      // The ledger's next id is needed before its row, because the layout goes into the row.
      const id = ledger.nextId();
      const zeros = normaliseRanges(
        plan
          .addFile(id, references, sizeBytes, recorded)
          .filter(({ reference }) => reference.kind === 'zero')
          .map(({ offset, length }) => ({ start: offset, length })),
        sizeBytes,
      );
      // Other programs did not record holes: what was all zeros takes no room again.
      const holes = recorded ?? zeros;
      const written = sizeBytes - totalLength(holes);
      this.needs.bytes += Math.ceil(written / DISK_BLOCK_BYTES) * DISK_BLOCK_BYTES;
      const state = totalLength(zeros) === sizeBytes ? STATE.make : STATE.content;
      return ledger.add({ ...planned, state, zeros, holes });
    } catch (error) {
      if (!(error instanceof LbsError)) throw error;
      tally.damage(planned.path, messageOf(error));
      return undefined;
    }
  }
}
