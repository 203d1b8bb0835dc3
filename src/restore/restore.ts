/**
 * Restore: a snapshot's entries into a target directory.
 *
 *     resolve snapshot -> descriptor              which one, and is it signed as demanded?
 *       -> check-room: target                     is there a directory to restore into?
 *     readMetadata -> plan-restore                what is wanted, what is there already?
 *       -> restore-ledger, content-plan           remembered in temporary databases
 *       -> check-room: room                       nothing was written up to here
 *     build-tree -> make-entry                    directories, links, special files
 *     deliver-contents -> restore-contents        each segment once, pieces in any order
 *       -> write-file -> set-attributes           aside, checked, then renamed into place
 *     link-name                                   further names of hard-linked files
 *     finish-directories                          modes and times, children first
 *     sync                                        only then it is done
 *
 * Called by the command line and by programs that use the library. All access to the target goes
 * through target-tree.ts. Trouble with one entry of the target is a warning, damage in the store
 * costs only the entries that need it, anything else ends the run and leaves no temporary files.
 */
import { LbsError, errnoName, messageOf } from '../errors.ts';
import { readMetadata } from '../metadata/metadata-log-reader.ts';
import { syncFilesystem } from '../posix/libc.ts';
import { silentReport } from '../report.ts';
import { SegmentSource } from '../segments/segment-source.ts';
import { type OpenSnapshot, openSnapshot, resolveSnapshot } from '../snapshots/open-snapshot.ts';
import { openStore } from '../stores/open-store.ts';
import { buildTree } from './build-tree.ts';
import { type TargetState, checkRoom, checkTarget, openTarget } from './check-room.ts';
import { ContentPlan } from './content-plan.ts';
import { deliverContents } from './deliver-contents.ts';
import { finishDirectories } from './finish-directories.ts';
import { linkName } from './link-name.ts';
import { planRestore } from './plan-restore.ts';
import { ContentRestorer } from './restore-contents.ts';
import { type LedgerEntry, RestoreLedger, STATE, type State } from './restore-ledger.ts';
import type { RestoreOptions, RestoreSummary } from './restore-options.ts';
import type { RestoreStages } from './restore-stages.ts';
import { pathsToFind } from './select-paths.ts';
import { RestoreTally } from './restore-tally.ts';
import { NEW_DIRECTORY_MODE } from './safe-target.ts';
import { AttributeSetter } from './set-attributes.ts';
import { CannotMake } from './make-entry.ts';
import { TargetTree } from './target-tree.ts';
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
  const found = resolveSnapshot(store, options.snapshot, options);
  const snapshot = await openSnapshot(store, found, options);
  const target = checkTarget(options.target);
  const source = new SegmentSource(store, options.unfilters);
  const tally = new RestoreTally(snapshot.name, options.report ?? silentReport, options.signal);
  const ledger = new RestoreLedger();
  const plan = new ContentPlan();
  try {
    const run = new RestoreRun(options, { snapshot, target, source, tally, ledger, plan });
    await run.plan();
    const segmentsRead = await run.write();
    const { entries, files, filesUnchanged, bytesWritten, warnings, damaged } = tally;
    return {
      snapshot: snapshot.name,
      ...{ entries, files, filesUnchanged, bytesWritten, segmentsRead, warnings, damaged },
      durationS: (performance.now() - started) / 1000,
    };
  } finally {
    plan.close();
    ledger.close();
  }
}

type Parts = {
  readonly snapshot: OpenSnapshot;
  readonly target: TargetState;
  readonly source: SegmentSource;
  readonly tally: RestoreTally;
  readonly ledger: RestoreLedger;
  readonly plan: ContentPlan;
};

class RestoreRun {
  readonly #options: RestoreOptions;
  readonly #parts: Parts;
  readonly #isForeign: boolean;
  readonly #attributes: AttributeSetter;

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
      paths: this.#options.paths ?? [],
    };
    const tree = target.isThere ? this.#openTree() : undefined;
    try {
      const attributes = this.#attributes;
      const needs = await planRestore(entries, settings, { ledger, plan, attributes, tally, tree });
      checkRoom(target, needs);
    } finally {
      tree?.close();
    }
  }

  /** Does what was planned. Returns how many segments were read. */
  async write(): Promise<number> {
    const { source, tally, ledger, plan } = this.#parts;
    const tree = this.#openTree();
    const stages: RestoreStages = { ledger, tally, maker: { tree, attributes: this.#attributes } };
    const contents = new ContentRestorer(stages);
    try {
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

  #openTree(): TargetTree {
    const { target, ledger } = this.#parts;
    const fd = openTarget(this.#options.target, target, NEW_DIRECTORY_MODE);
    return new TargetTree(fd, ledger, !target.isThere);
  }

  #sync(tree: TargetTree): void {
    try {
      syncFilesystem(tree.topFd);
    } catch (error) {
      // The target could only be opened to pass through; the system writes it out by itself.
      if (errnoName(error) === 'EBADF') return;
      throw new LbsError('io', `cannot write the target to its disk: ${messageOf(error)}`, {
        cause: error,
      });
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
    warn('hard-link', 'its first name could not be put in place');
    return STATE.refused;
  }
  try {
    const outcome = linkName(maker, first, entry, warn);
    if (outcome !== 'unchanged') tally.restored(entry.path, 0);
    else if (entry.type === 'f') tally.filesUnchanged++;
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
