/** `lbs hold`, `lbs release` and `lbs tag`: notes on snapshots. */
import { EXIT, LbsError } from '../errors.ts';
import { type SnapshotNote, checkTag } from '../format/snapshot-name.ts';
import { showText } from '../std/byte-path.ts';
import type { CommandInput } from './command.ts';
import { openReport } from './open-report.ts';
import type { CommandSpec } from './options.ts';
import { HOLD, RELEASE, TAG } from './options-keep.ts';
import { readOptionsOf } from './store-flags.ts';

/** What is done with notes, and how it is said. */
type Change = {
  readonly command: CommandSpec;
  readonly isAdded: boolean;
  /** Of a note that was changed, and of one that was as it should be. */
  readonly done: (note: SnapshotNote) => string;
  readonly already: (note: SnapshotNote) => string;
};

const shown = ({ name }: SnapshotNote) => showText(name);

const ON_HOLD: Change = {
  command: HOLD,
  isAdded: true,
  done: (note) => `${shown(note)} is held`,
  already: (note) => `${shown(note)} was held already`,
};
const RELEASED: Change = {
  command: RELEASE,
  isAdded: false,
  done: (note) => `${shown(note)} is released`,
  already: (note) => `${shown(note)} was not held`,
};
const TAGGED: Change = {
  command: TAG,
  isAdded: true,
  done: (note) => `${shown(note)} has the tag ${note.tag ?? ''}`,
  already: (note) => `${shown(note)} had the tag ${note.tag ?? ''} already`,
};
const UNTAGGED: Change = {
  command: TAG,
  isAdded: false,
  done: (note) => `${shown(note)} no longer has the tag ${note.tag ?? ''}`,
  already: (note) => `${shown(note)} did not have the tag ${note.tag ?? ''}`,
};

/** Makes the change to the notes of the snapshots that `words` mean, with `tags` if it is about them. */
async function run(
  input: CommandInput,
  change: Change,
  words: readonly string[],
  tags: readonly (string | undefined)[],
): Promise<number> {
  const { flags, outputs } = input;
  const report = openReport(change.command.name, flags, outputs);
  try {
    const reading = readOptionsOf(input, `lbs ${change.command.name} --store=/mnt/backup latest`);
    if (words.length === 0 || tags.length === 0) {
      const what = words.length === 0 ? 'no snapshot given' : 'no tag given';
      const [usage = ''] = change.command.usage;
      throw new LbsError('usage', what, { hint: `usage: lbs ${change.command.name} ${usage}` });
    }
    const { openStore } = await import('../stores/open-store.ts');
    const { listSnapshots, resolveAmong } = await import('../snapshots/open-snapshot.ts');
    const { addNote, noteText, refuseForgotten, removeNote } =
      await import('../snapshots/snapshot-notes.ts');
    const store = openStore(reading.store);
    const all = listSnapshots(store);
    // All words are understood before anything is changed.
    const names = new Set(words.map((word) => resolveAmong(store, all, word, reading.scheme).name));
    const notes = [...names].flatMap((name) => tags.map((tag) => ({ name, tag })));
    for (const note of notes) {
      const isChanged = change.isAdded
        ? await addNote(store, note, noteText())
        : await removeNote(store, note);
      // After the note, never before: see maintain/remove-snapshots.
      if (change.isAdded) await refuseForgotten(store, note);
      if (flags.isOn('json')) {
        const fields = { snapshot_id: note.name, tag: note.tag ?? null, changed: isChanged };
        outputs.out.line(JSON.stringify({ message_type: change.command.name, ...fields }));
      } else if (!flags.isOn('quiet')) {
        outputs.out.line(isChanged ? change.done(note) : change.already(note));
      }
    }
    return EXIT.done;
  } finally {
    report.close();
  }
}

function wordsOf({ flags }: CommandInput): string[] {
  return flags.operands.map((_, at) => flags.operandText(at, 'SNAPSHOT') ?? '');
}

export function runHold(input: CommandInput): Promise<number> {
  return run(input, ON_HOLD, wordsOf(input), [undefined]);
}

export function runRelease(input: CommandInput): Promise<number> {
  return run(input, RELEASED, wordsOf(input), [undefined]);
}

/** The first operand is a snapshot, the others are tags. */
export function runTag(input: CommandInput): Promise<number> {
  const [snapshot, ...tags] = wordsOf(input);
  const change = input.flags.isOn('remove') ? UNTAGGED : TAGGED;
  return run(input, change, snapshot === undefined ? [] : [snapshot], tags.map(checkTag));
}
