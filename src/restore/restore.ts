/**
 * Restore: a snapshot's entries into a target directory.
 *
 *     resolve snapshot -> descriptor              which one, and is it signed as demanded?
 *       -> check-room: target                     is there a directory to restore into?
 *     readMetadata -> plan-restore                what is wanted, what is there already?
 *       -> restore-ledger, content-plan           remembered in temporary databases
 *       -> check-room: room                       nothing was written up to here
 *     leftovers                                   of a restore that was killed: removed
 *     extra-entries                               --delete: what is not in the snapshot
 *     build-tree -> make-entry                    directories, links, special files
 *     deliver-contents -> restore-contents        each segment once, pieces in any order
 *       -> write-file -> set-attributes           aside, checked, then renamed into place
 *     link-name                                   further names of hard-linked files
 *     finish-directories                          modes and times, children first
 *     sync                                        only then it is done
 *
 * With `dryRun`, tell-plan says what the second half would do, and it is left out.
 *
 * Called by the command line and by programs that use the library. All access to the target goes
 * through target-tree.ts. Trouble with one entry of the target is a warning, damage in the store
 * costs only the entries that need it, anything else ends the run and leaves no temporary files.
 */
import { hostname } from 'node:os';
import { LbsError, errnoName, messageOf } from '../errors.ts';
import { readMetadata } from '../metadata/metadata-log-reader.ts';
import { close as closeFd, syncFilesystem } from '../posix/libc.ts';
import { silentReport } from '../report.ts';
import { SegmentSource } from '../segments/segment-source.ts';
import { type OpenSnapshot, openSnapshot, resolveSnapshot } from '../snapshots/open-snapshot.ts';
import { openStore } from '../stores/open-store.ts';
import { buildTree } from './build-tree.ts';
import { type TargetState, checkRoom, checkTarget, openTarget } from './check-room.ts';
import { ContentPlan } from './content-plan.ts';
import { deliverContents } from './deliver-contents.ts';
import { finishDirectories } from './finish-directories.ts';
import { Leftovers } from './leftovers.ts';
import { FIRST_NAME_REFUSED, linkName } from './link-name.ts';
import { OwnPlaces, refuseInStore } from './own-places.ts';
import { planRestore } from './plan-restore.ts';
import { ContentRestorer } from './restore-contents.ts';
import { type LedgerEntry, RestoreLedger, STATE, type State } from './restore-ledger.ts';
import type { RestoreOptions, RestoreSummary } from './restore-options.ts';
import type { RestoreStages } from './restore-stages.ts';
import { pathsToFind } from './select-paths.ts';
import { readRules } from '../sources/filesystem/rule-files.ts';
import { EntrySelection, type Rules } from './entry-selection.ts';
import { ExtraEntries, deleteExtra, findExtra } from './extra-entries.ts';
import { tellPlan } from './tell-plan.ts';
import { TargetNames } from './target-names.ts';
import { UndoDirectory } from './undo-directory.ts';
import { RestoreTally } from './restore-tally.ts';
import { NEW_DIRECTORY_MODE, type OnOpen } from './safe-target.ts';
import { AttributeSetter } from './set-attributes.ts';
import { CannotMake } from './make-entry.ts';
import { TargetTree, type TreeOptions } from './target-tree.ts';
import { showText, utf8Of } from '../std/byte-path.ts';
import { targetTrouble } from './target-trouble.ts';
import { WrongContent } from './write-file.ts';

/**
 * Restores a snapshot, or parts of it, into a directory. Reports through `options.report`;
 * resolves when everything is on the disk. Warnings and damage are counted, not thrown.
 * @throws {LbsError} store-missing, snapshot-missing, snapshot-ambiguous, signature-*,
 * target-unusable, source-missing, no-space: nothing was written; io, no-space, interrupted:
 * what is in place is complete
 */
export async function restore(options: RestoreOptions): Promise<RestoreSummary> {
  const started = performance.now();
  const store = openStore(options.store);
  const selection = selectionOf(options);
  const found = resolveSnapshot(store, options.snapshot, options);
  const snapshot = await openSnapshot(store, found, options);
  const place = placeOf(options, snapshot);
  if (options.delete === true) checkDelete(options, snapshot);
  const target = checkTarget(place);
  refuseInStore(`the target ${place}`, target.existing, store.place);
  if (options.undoDir !== undefined) {
    UndoDirectory.check(options.undoDir, place, target, store.place);
  }
  const source = new SegmentSource(store, options);
  const tally = new RestoreTally(snapshot.name, options.report ?? silentReport, options.signal);
  const ledger = new RestoreLedger();
  const plan = new ContentPlan();
  const isStripped = (options.stripComponents ?? 0) > 0;
  const names = options.delete === true || isStripped ? new TargetNames() : undefined;
  const extra = options.delete === true ? new ExtraEntries() : undefined;
  const parts = { snapshot, place, target, source, tally, ledger, plan, selection, names, extra };
  try {
    const run = new RestoreRun(options, parts);
    await run.plan();
    const isDry = options.dryRun === true;
    const bytesToFetch = isDry ? await run.tell() : undefined;
    const segmentsRead = isDry ? plan.segments.length : await run.write();
    const { entries, files, filesRestored, filesUnchanged, bytesWritten, warnings, damaged } =
      tally;
    const { kept, hasChanged: changed, deletedEntries: deleted, leftoversRemoved } = tally;
    return {
      snapshot: snapshot.name,
      target: place,
      ...{
        entries,
        files,
        filesRestored,
        filesUnchanged,
        kept,
        changed,
        deleted,
        leftoversRemoved,
        bytesWritten,
        segmentsRead,
      },
      ...{ dryRun: isDry, bytesToFetch, warnings, damaged },
      durationS: (performance.now() - started) / 1000,
    };
  } catch (error) {
    // Whatever was interrupted: here is said what that means for the target.
    if (error instanceof LbsError && error.code === 'interrupted') tally.checkSignal();
    throw error;
  } finally {
    extra?.close();
    names?.close();
    plan.close();
    ledger.close();
  }
}

/** @throws {LbsError} usage */
function placeOf(options: RestoreOptions, snapshot: OpenSnapshot): string {
  const { target, originalPlace = false } = options;
  if (originalPlace !== (target === undefined)) {
    throw new LbsError('usage', 'either a target or the original place is needed');
  }
  if (target !== undefined) return target;
  const { top, host } = snapshot.descriptor;
  const text = top && utf8Of(top);
  // Several machines may save into one store: "latest" is whoever came last.
  const isNamed = options.snapshot === snapshot.name;
  if (text !== undefined && (isNamed || host === undefined || host === hostname())) return text;
  if (text !== undefined) {
    const other = `snapshot ${snapshot.name} was made on ${showText(host ?? '')}, and this is ${hostname()}`;
    throw new LbsError('usage', other, {
      hint: `nothing was written; if it is meant, write its whole name instead of "${showText(options.snapshot)}"`,
    });
  }
  const why = top === undefined ? 'does not say where it was made' : 'has a place that is not text';
  throw new LbsError('usage', `snapshot ${snapshot.name} ${why}`, {
    hint: 'nothing was written; name the TARGET: "/" where the backup was given absolute paths',
  });
}

/**
 * A snapshot of /home/ann has a directory / with nothing in it but home. One that does not say what
 * was named has to be told where deleting is meant. @throws {LbsError} usage
 */
function checkDelete({ paths = [] }: RestoreOptions, { name, descriptor }: OpenSnapshot): void {
  if (paths.length > 0 || descriptor.paths !== undefined) return;
  const why = `snapshot ${name} does not say which directories it holds completely`;
  throw new LbsError('usage', `--delete needs to be told in which paths: ${why}`, {
    hint: 'nothing was changed; name them, as in "home/ann", or "/" for the whole target',
  });
}

function selectionOf(options: RestoreOptions): EntrySelection {
  const { paths = [], backupRules = {}, stripComponents = 0 } = options;
  const { excludes, includes, rules } = rulesOf(options);
  return new EntrySelection({
    ...{ paths, excludes, includes, rules, stripComponents },
    backupRules: rulesOf(backupRules),
  });
}

/** @throws {LbsError} usage with file and line, source-missing, io */
function rulesOf(given: NonNullable<RestoreOptions['backupRules']>): Rules {
  const { excludes = [], includes = [], ruleFiles = [], dirMerges = [], ignoreFiles = [] } = given;
  return { excludes, includes, rules: readRules({ rules: ruleFiles, dirMerges, ignoreFiles }) };
}

type Parts = {
  readonly snapshot: OpenSnapshot;
  /** Path of the target. */
  readonly place: string;
  readonly target: TargetState;
  readonly source: SegmentSource;
  readonly tally: RestoreTally;
  readonly ledger: RestoreLedger;
  readonly plan: ContentPlan;
  readonly selection: EntrySelection;
  readonly names: TargetNames | undefined;
  /** What `delete` removes; undefined without it. */
  readonly extra: ExtraEntries | undefined;
};

class RestoreRun {
  readonly #options: RestoreOptions;
  readonly #parts: Parts;
  readonly #isForeign: boolean;
  readonly #attributes: AttributeSetter;
  readonly #leftovers = new Leftovers();

  constructor(options: RestoreOptions, parts: Parts) {
    this.#options = options;
    this.#parts = parts;
    // Only our own descriptors have the SHA-256 of a checksums file.
    this.#isForeign = parts.snapshot.descriptor.checksumsSha256 === undefined;
    this.#attributes = new AttributeSetter(!this.#isForeign);
  }

  /** Everything that can refuse; writes nothing. */
  async plan(): Promise<void> {
    const { snapshot, target, source, tally, ledger, plan } = this.#parts;
    const { signal } = this.#options;
    const entries = readMetadata(source, snapshot.descriptor, {
      signal,
      only: this.#isForeign ? undefined : pathsToFind(this.#options.paths ?? []),
      onDamage: (message, { path }) =>
        path === undefined ? tally.metadataDamage(message) : tally.damage(path, message),
    });
    const settings = {
      dialect: snapshot.descriptor.dialect,
      isForeign: this.#isForeign,
      numericOwner: this.#options.numericOwner ?? false,
      overwrite: this.#options.overwrite ?? 'if-changed',
    };
    const leftovers = this.#leftovers;
    const onOpen: OnOpen = (path, fd) => leftovers.lookIn(path, fd);
    const tree = target.isThere ? this.#openTree({ isNew: false, onOpen }) : undefined;
    try {
      const attributes = this.#attributes;
      const { selection, names, extra } = this.#parts;
      const stages = { ledger, plan, attributes, tally, tree, selection, names, leftovers };
      const needs = await planRestore(entries, settings, stages);
      if (extra && names && tree) await this.#findExtra(extra, { names, tree });
      const isUndone = this.#options.undoDir !== undefined;
      const freedBytes = isUndone ? 0 : needs.freedBytes + (extra?.freedBytes ?? 0);
      checkRoom(target, { ...needs, freedBytes });
    } finally {
      tree?.close();
    }
  }

  async #findExtra(
    extra: ExtraEntries,
    { names, tree }: { names: TargetNames; tree: TargetTree },
  ): Promise<void> {
    const { tally, selection } = this.#parts;
    const { ownPlaces = [], undoDir, backupMarkers = [], backupLeavesCaches } = this.#options;
    const markers = { names: backupMarkers, caches: backupLeavesCaches === true };
    const { place: store } = this.#parts.source.store;
    if (tally.damaged > 0) {
      tally.note('nothing is deleted: the snapshot is damaged, so what belongs there is not known');
      return;
    }
    const own = new OwnPlaces([store, ...ownPlaces, ...(undoDir === undefined ? [] : [undoDir])]);
    const { paths: complete, unread } = this.#parts.snapshot.descriptor;
    const rules = { names, selection, own, complete, unread, markers };
    await findExtra(extra, tree, rules, tally);
  }

  /** Says what was planned. Returns how many bytes would be fetched. */
  async tell(): Promise<number> {
    const { target, source, tally, ledger, plan, extra } = this.#parts;
    const tree = target.isThere ? this.#openTree({ isNew: false }) : undefined;
    try {
      const parts = { ledger, plan, source, extra, tree, tally, attributes: this.#attributes };
      return await tellPlan(parts);
    } finally {
      tree?.close();
    }
  }

  /** Does what was planned. Returns how many segments were read. */
  async write(): Promise<number> {
    const { source, tally, ledger, plan, target, extra } = this.#parts;
    const tree = this.#openTree({
      isNew: !target.isThere,
      undoDir: this.#options.undoDir,
      overwrite: this.#options.overwrite,
    });
    const stages: RestoreStages = { ledger, tally, maker: { tree, attributes: this.#attributes } };
    const contents = new ContentRestorer(stages);
    try {
      await this.#leftovers.removeAndLock(tree, tally);
      if (extra) await deleteExtra(extra, tree, tally);
      await buildTree(stages);
      tally.progress();
      const duty = {
        kind: 'write',
        topFd: tree.topFd,
        temporaryPrefix: tree.temporaryPrefix,
      } as const;
      await deliverContents(plan, source, contents, { signal: this.#options.signal, duty });
      contents.loseIncomplete();
      await linkNames(stages);
      await finishDirectories(stages);
      tally.progress();
      this.#sync(tree);
      return contents.segmentsRead;
    } finally {
      contents.discardAll();
      tree.closeAgain();
      tree.close();
    }
  }

  #openTree(options: Omit<TreeOptions, 'undo'> & { undoDir?: string | undefined }) {
    const { place, target, ledger } = this.#parts;
    const { undoDir, ...others } = options;
    const fd = openTarget(place, target, NEW_DIRECTORY_MODE);
    try {
      const undo = undoDir === undefined ? undefined : UndoDirectory.open(undoDir, fd);
      return new TargetTree(fd, ledger, { ...others, undo });
    } catch (error) {
      closeFd(fd);
      throw error;
    }
  }

  #sync(tree: TargetTree): void {
    try {
      syncFilesystem(tree.topFd);
    } catch (error) {
      // The target could only be opened to pass through; the system writes it out by itself.
      if (errnoName(error) === 'EBADF') return;
      const message = `cannot write the target ${this.#parts.place} to its disk: ${messageOf(error)}`;
      throw new LbsError('io', message, { cause: error });
    }
  }
}

async function linkNames(stages: RestoreStages): Promise<void> {
  const { ledger, tally } = stages;
  for (const entry of ledger.inState(STATE.link)) {
    ledger.setState(entry.id, link(stages, entry));
    await tally.rest();
  }
}

function link({ ledger, tally, maker }: RestoreStages, entry: LedgerEntry): State {
  const first = ledger.get(entry.first ?? 0);
  if (first.state === STATE.lost) {
    tally.damage(entry.path, 'the content of this hard-linked file is damaged');
    return STATE.lost;
  }
  const warn: Parameters<typeof linkName>[3] = (code, message) =>
    tally.warn(code, entry.path, message);
  if (first.state !== STATE.done) {
    warn('hard-link', FIRST_NAME_REFUSED);
    return STATE.refused;
  }
  try {
    const outcome = linkName(maker, first, entry, warn);
    const isFile = entry.type === 'f';
    if (outcome === 'unchanged') tally.filesUnchanged += isFile ? 1 : 0;
    else if (isFile) tally.fileRestored(entry.path, 0);
    else tally.restored(entry.path, 0);
    return STATE.done;
  } catch (error) {
    if (error instanceof WrongContent || error instanceof CannotMake) {
      warn('hard-link', error.message);
    } else {
      const trouble = targetTrouble(entry.path, error);
      warn(trouble.code, trouble.message);
    }
    return STATE.refused;
  }
}
