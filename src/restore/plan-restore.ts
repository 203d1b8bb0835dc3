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
import { showPath } from '../std/byte-path.ts';
import { normaliseRanges, totalLength } from './byte-ranges.ts';
import { type Existing, compareExisting, lookForExisting } from './compare-existing.ts';
import type { ContentPlan } from './content-plan.ts';
import { groupOf } from './hard-link-group.ts';
import { type NewLedgerEntry, STATE, type RestoreLedger } from './restore-ledger.ts';
import type { RestoreTally } from './restore-tally.ts';
import { safePath } from './safe-target.ts';
import { PathSelection, type Role } from './select-paths.ts';
import { type AttributeSetter, ownerOf } from './set-attributes.ts';
import type { TargetTree } from './target-tree.ts';

/** Room is taken in blocks; this is the usual size of one. */
const DISK_BLOCK_BYTES = 4096;

export type PlanSettings = {
  readonly dialect: SliceDialect;
  /** Written by another program: no extended attributes recorded, names as typed. */
  readonly isForeign: boolean;
  readonly numericOwner: boolean;
  readonly paths: readonly Buffer[];
};

export type PlanStages = {
  readonly ledger: RestoreLedger;
  readonly plan: ContentPlan;
  readonly attributes: AttributeSetter;
  readonly tally: RestoreTally;
  /** The target as it is; undefined when it is not there yet. */
  readonly tree: TargetTree | undefined;
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
  const missing = planner.selection.unmatched();
  if (missing.length > 0) {
    const shown = missing.map((path) => showPath(path)).join(', ');
    throw new LbsError('source-missing', `not in the snapshot: ${shown}`, {
      hint: 'nothing was written; "lbs ls" shows the paths of a snapshot',
    });
  }
  stages.tally.expect(planner.filesExpected, planner.bytesExpected);
  return planner.needs;
}

class Planner {
  readonly needs: Needs = { bytes: 0, freedBytes: 0, entries: 0 };
  readonly selection: PathSelection;
  filesExpected = 0;
  bytesExpected = 0;
  readonly #settings: PlanSettings;
  readonly #stages: PlanStages;

  constructor(settings: PlanSettings, stages: PlanStages) {
    this.#settings = settings;
    this.#stages = stages;
    this.selection = new PathSelection(settings.paths);
  }

  async add(entry: Entry): Promise<void> {
    let planned: NewLedgerEntry;
    try {
      const path = safePath(entry.path, this.#settings.isForeign);
      const role = this.selection.roleOf(path);
      if (role === undefined || (role === 'parent' && entry.type !== 'd')) return;
      if (role === 'selected') {
        this.#stages.tally.entries++;
        if (entry.type === 'f') this.#stages.tally.files++;
      }
      planned = this.#planned(entry, path, role);
      if (path.length === 0 && entry.type !== 'd') {
        throw new LbsError('unsafe-path', 'the top of the snapshot is not a directory');
      }
    } catch (error) {
      if (!(error instanceof LbsError)) throw error;
      this.#stages.tally.damage(entry.path, error.message);
      return;
    }
    const group = groupOf(entry);
    const first = group === undefined ? undefined : this.#stages.ledger.firstOf(group);
    const existing = await this.#existing(planned, first !== undefined);
    if (!existing && planned.path.length > 0) this.needs.entries++;
    if (first !== undefined) {
      this.#stages.ledger.add({ ...planned, state: STATE.link, first });
      return;
    }
    const id = this.#addFirst(entry, planned, existing);
    if (group !== undefined && id !== undefined) this.#stages.ledger.startGroup(group, id);
  }

  /** What has the name in the target already; undefined when a new inode will be needed. */
  async #existing(planned: NewLedgerEntry, isLink: boolean): Promise<Existing | undefined> {
    const { tree, attributes, tally } = this.#stages;
    if (tree === undefined || planned.path.length === 0) return undefined;
    if (planned.type !== 'f' || isLink) return lookForExisting(tree, planned.path);
    return compareExisting(tree, planned, attributes, tally);
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
