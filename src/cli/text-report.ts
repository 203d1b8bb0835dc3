/**
 * A run as people read it: results on standard output, warnings and progress on standard error.
 * Quiet says only what is wrong. Restore's warnings, which one cause (not being root) can make
 * for every single file, are held back and told by kind at the end.
 */
import type { BackupSummary } from '../backup/backup-options.ts';
import type { UnneededFiles, VerifySummary } from '../maintain/verify-options.ts';
import type { Damage, ReportEvent, RestoreWarning, SourceWarning } from '../report.ts';
import type { RestoreSummary } from '../restore/restore-options.ts';
import { showPath, showText } from '../std/byte-path.ts';
import { humanCount, humanDuration, humanSize } from '../std/human-size.ts';
import type { CommandReport, Verbosity } from './command-report.ts';
import type { CommandName } from './options.ts';
import type { Output } from './output.ts';
import type { ProgressLine } from './progress-line.ts';

/** Enough to see what they have in common. */
const WARNINGS_SHOWN_OF_A_KIND = 10;

const WORDS_OF_RESTORE_WARNING: Readonly<Record<RestoreWarning['code'], string>> = {
  owner: 'owner or group not set',
  mode: 'mode not set',
  time: 'time not set',
  xattr: 'extended attribute not set',
  holes: 'holes filled with zeros',
  name: 'name not possible here',
  special: 'link or special file not made',
  'hard-link': 'hard link not made',
  'in-the-way': 'something is in the way',
  write: 'not written',
};

const KIND_WORDS: ReadonlyMap<string, string> = new Map(Object.entries(WORDS_OF_RESTORE_WARNING));

/** Warnings of one kind, of which only the first are kept: memory stays flat. */
type Kind = { readonly words: string; readonly shown: string[]; count: number };

/** `1 warning`, `2,000 warnings`. */
const counted = (count: number, one: string, many = `${one}s`) =>
  `${humanCount(count)} ${count === 1 ? one : many}`;

export class TextReport implements CommandReport {
  readonly #command: CommandName;
  readonly #out: Output;
  readonly #err: Output;
  readonly #verbosity: Verbosity;
  readonly #isDryRun: boolean;
  readonly #progress: ProgressLine | undefined;
  readonly #held = new Map<string, Kind>();

  constructor(options: {
    command: CommandName;
    out: Output;
    err: Output;
    verbosity: Verbosity;
    isDryRun: boolean;
    progress: ProgressLine | undefined;
  }) {
    this.#command = options.command;
    this.#out = options.out;
    this.#err = options.err;
    this.#verbosity = options.verbosity;
    this.#isDryRun = options.isDryRun;
    this.#progress = options.progress;
  }

  readonly report = (event: ReportEvent): void => {
    switch (event.type) {
      case 'warning':
        this.#warning(event.warning);
        break;
      case 'damage':
        this.#damage(event.damage);
        break;
      case 'stored':
        if (this.#verbosity === 'verbose') this.#say(`${showPath(event.path)} [${event.status}]`);
        break;
      case 'restored':
        if (this.#verbosity === 'verbose') this.#say(showPath(event.path));
        break;
      case 'deleted':
        // What a dry run says would go is what it was asked for.
        if (this.#verbosity === 'verbose' || (this.#isDryRun && this.#verbosity !== 'quiet')) {
          this.#say(`${showPath(event.path)} [deleted]`);
        }
        break;
      case 'to-fetch':
        if (this.#verbosity === 'verbose') {
          this.#say(`${showText(event.file)} [to fetch, ${humanSize(event.sizeBytes)}]`);
        }
        break;
      case 'copied':
        if (this.#verbosity === 'verbose') {
          this.#say(`${showText(event.file)} [copied, ${humanSize(event.sizeBytes)}]`);
        }
        break;
      case 'store-failed':
        this.#complain(`one store is left out: ${showText(event.message)}`);
        if (event.hint !== undefined) this.#err.line(`     ${showText(event.hint)}`);
        break;
      case 'progress':
        this.#progress?.update(event.progress);
        break;
      case 'note':
        if (this.#verbosity !== 'quiet') this.#complain(showText(event.message));
        break;
    }
  };

  backupDone(summary: BackupSummary): void {
    this.close();
    const { filesNew, filesChanged, filesUnchanged } = summary;
    if (this.#verbosity !== 'quiet') {
      const changes = [
        `${humanCount(filesNew)} new`,
        `${humanCount(filesChanged)} changed`,
        `${humanCount(filesUnchanged)} unchanged`,
      ].join(', ');
      const segments = counted(summary.segmentsStored, 'segment');
      this.#table([
        [summary.dryRun ? 'Dry run' : 'Snapshot', summary.snapshot ?? 'nothing was written'],
        ['Files', `${changes}; ${counted(summary.directories, 'directory', 'directories')}`],
        ['Read', `${humanSize(summary.bytesRead)} of ${humanSize(summary.bytes)}`],
        summary.dryRun
          ? ['To add', `${humanSize(summary.bytesAdded)} before the filter`]
          : [
              'Added',
              `${humanSize(summary.bytesAdded)}, stored as ${humanSize(summary.bytesStored)} in ${segments}`,
            ],
        ['Time', humanDuration(summary.durationS)],
      ]);
    }
    for (const line of storeLines(summary)) this.#complain(line);
    if (summary.warnings > 0) {
      const made = summary.dryRun ? 'some entries' : 'the snapshot is made, but some entries';
      this.#complain(
        `${counted(summary.warnings, 'warning')}: ${made} could not be read as they are (exit code 3)`,
      );
    }
    if (summary.tampered > 0) {
      this.#complain(
        `${counted(summary.tampered, 'snapshot')} of the store gone or replaced; the new one does not need them (exit code 3)`,
      );
    }
  }

  restoreDone(summary: RestoreSummary): void {
    this.close();
    // Nothing was to be done: nothing is to be said.
    const isQuiet = !summary.changed && !summary.dryRun && summary.warnings + summary.damaged === 0;
    if (this.#verbosity === 'verbose' || (this.#verbosity === 'normal' && !isQuiet)) {
      this.#table(restoreRows(summary));
    }
    const code = summary.damaged > 0 ? 4 : 3;
    if (summary.warnings > 0) {
      const words = 'not everything could be put back exactly as recorded';
      const exit = code === 3 ? ' (exit code 3)' : '';
      this.#complain(`${counted(summary.warnings, 'warning')}: ${words}${exit}`);
    }
    if (summary.damaged > 0) {
      this.#complain(
        `${counted(summary.damaged, 'entry', 'entries')} could not be restored, because the store is damaged (exit code 4)`,
      );
    }
  }

  verifyDone(summary: VerifySummary): void {
    this.close();
    const { damage, depth } = summary;
    const tampered = damage.filter(({ what }) => what === 'history').length;
    const wrong = tampered === 0 ? 'damaged' : 'damaged, gone or replaced';
    if (this.#verbosity !== 'quiet') {
      const files = depth === 'data' ? [['Files', humanCount(summary.files)] as const] : [];
      const objects =
        depth === 'checksums' ? [] : [['Objects', humanCount(summary.objects)] as const];
      this.#table([
        ['Checked', `${counted(summary.snapshots.length, 'snapshot')}, --${depth}`],
        [
          'Read',
          `${humanSize(summary.bytesRead)} in ${counted(summary.storeFiles, 'file')} of the store`,
        ],
        ...objects,
        ...files,
        ['Time', humanDuration(summary.durationS)],
        [
          'Result',
          damage.length === 0 ? 'all is well' : `${counted(damage.length, 'thing')} ${wrong}`,
        ],
      ]);
    }
    if (summary.unneeded !== undefined) this.#unneeded(summary.unneeded);
    const exit = tampered === 0 ? ' (exit code 4)' : '';
    if (damage.length > tampered) {
      this.#complain(`damage found: ${damage.length - tampered} in all${exit}`);
    }
    if (tampered > 0) {
      this.#complain(`snapshots gone or replaced: ${tampered} in all (exit code 12)`);
    }
  }

  /** No trouble, and quiet does not say it. */
  #unneeded({ files, bytes, unfinished, unfinishedBytes }: UnneededFiles): void {
    if (this.#verbosity === 'quiet' || files + unfinished === 0) return;
    const left = 'a running backup may need them yet, or one that was stopped left them';
    if (files > 0) {
      const what = `${counted(files, 'file')} that no snapshot needs, ${humanSize(bytes)}`;
      this.#complain(`${what}: ${left}; "lbs gc" removes them`);
    }
    if (unfinished > 0) {
      const what = `${counted(unfinished, 'unfinished file')}, ${humanSize(unfinishedBytes)}`;
      this.#complain(`${what}: ${left}; the next backup from the same machine removes them`);
    }
  }

  close(): void {
    this.#progress?.clear();
    for (const kind of this.#held.values()) {
      this.#complain(`${kind.words}:`);
      for (const line of kind.shown) this.#err.line(`  ${line}`);
      const more = kind.count - kind.shown.length;
      if (more > 0) this.#err.line(`  and ${humanCount(more)} more; --verbose names each`);
    }
    this.#held.clear();
  }

  #warning(warning: SourceWarning | RestoreWarning): void {
    const line = `${showPath(warning.path)}: ${showText(warning.message)}`;
    const words = KIND_WORDS.get(warning.code);
    // What of the source could not be saved is told in full, at once: each line may matter.
    if (words === undefined || this.#verbosity === 'verbose') {
      this.#complain(`warning: ${line}`);
      return;
    }
    const kind = this.#held.get(words) ?? { words, shown: [], count: 0 };
    kind.count++;
    if (kind.shown.length < WARNINGS_SHOWN_OF_A_KIND) kind.shown.push(line);
    this.#held.set(words, kind);
  }

  #damage({ what, name, path, snapshot, message }: Damage): void {
    const thing = path === undefined ? showText(name) : showPath(path);
    const isOfFile = snapshot === undefined || what === 'store-file' || what === 'history';
    const where = isOfFile ? '' : `${showText(snapshot)}: `;
    const word = what === 'history' ? 'tampered with' : 'damaged';
    const line = `${word}: ${where}${thing}: ${showText(message)}`;
    // To verify, damage is the result; to the others it is trouble on the way.
    if (this.#command === 'verify') this.#say(line);
    else this.#complain(line);
  }

  /** A line of results. */
  #say(line: string): void {
    this.#progress?.clear();
    this.#out.line(line);
  }

  /** A line of trouble. */
  #complain(line: string): void {
    this.#progress?.clear();
    this.#err.line(`lbs: ${line}`);
  }

  #table(rows: readonly (readonly [string, string])[]): void {
    const width = Math.max(...rows.map(([name]) => name.length)) + 1;
    for (const [name, value] of rows) this.#say(`${`${name}:`.padEnd(width)} ${value}`);
  }
}

/** Which stores the snapshot is not in, and what brings it there. */
function storeLines({ stores, dryRun }: BackupSummary): string[] {
  const good = stores.find(({ error, isReadable }) => error === undefined && isReadable);
  return stores.flatMap(({ store, error }) => {
    if (error === undefined) return [];
    const place = showText(store);
    if (dryRun) return [`${place} would not get the snapshot (exit code 3)`];
    const help =
      good === undefined ? '' : `; when it is well: lbs sync ${showText(good.store)} ${place}`;
    return [`the snapshot is not in ${place} (exit code 3)${help}`];
  });
}

function restoreRows(summary: RestoreSummary): (readonly [string, string])[] {
  const { filesRestored, filesUnchanged, kept, deleted, dryRun, bytesToFetch = 0 } = summary;
  const { leftoversRemoved } = summary;
  const parts = [
    `${humanCount(filesRestored)} ${dryRun ? 'to write' : 'written'}`,
    `${humanCount(filesUnchanged)} already as recorded`,
    ...(kept > 0 ? [`${humanCount(kept)} kept as in the target`] : []),
  ];
  const segments = counted(summary.segmentsRead, 'segment');
  return [
    ['Snapshot', summary.snapshot],
    ['Target', showText(summary.target)],
    ...(dryRun ? [['Dry run', 'nothing was written'] as const] : []),
    ['Files', `${parts.join(', ')}; ${counted(summary.entries, 'entry', 'entries')} in all`],
    ...(deleted > 0
      ? [[dryRun ? 'To delete' : 'Deleted', counted(deleted, 'entry', 'entries')] as const]
      : []),
    ...(dryRun
      ? [
          ['To write', humanSize(summary.bytesWritten)] as const,
          ['To fetch', `at most ${humanSize(bytesToFetch)} in ${segments}`] as const,
        ]
      : [['Written', `${humanSize(summary.bytesWritten)} from ${segments}`] as const]),
    ...(leftoversRemoved > 0
      ? [
          [
            'Removed',
            `${counted(leftoversRemoved, 'unfinished file')} of an interrupted restore`,
          ] as const,
        ]
      : []),
    ['Time', humanDuration(summary.durationS)],
  ];
}
