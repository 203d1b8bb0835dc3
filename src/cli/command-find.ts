/** `lbs find`: versions of entries in all snapshots, a line each, and which snapshots hold them. */
import { EXIT, LbsError } from '../errors.ts';
import type { Criteria } from '../inspect/find.ts';
import { parseMoment } from '../format/timestamp.ts';
import type { Report } from '../report.ts';
import { showPath, showText } from '../std/byte-path.ts';
import { parseSize } from '../std/human-size.ts';
import type { CommandInput } from './command.ts';
import type { FlagValues } from './flag-values.ts';
import { openReport } from './open-report.ts';
import { FIND } from './options-inspect.ts';
import { Output } from './output.ts';
import { dateColumn, sizeColumn, versionFields } from './show-version.ts';
import { present, readOptionsOf, refuseOperands } from './store-flags.ts';

const SIZE_WIDTH = 12;
const SHA256_DIGITS = 64;

function newerOf(flags: FlagValues): number | undefined {
  const text = flags.text('newer');
  if (text === undefined) return undefined;
  const moment = parseMoment(text);
  if (moment !== undefined) return moment;
  throw new LbsError('usage', `--newer=${JSON.stringify(text)} is not a date that there is`, {
    hint: 'write 2026-11-01 or 2026-11-01T12:30, in local time; with a Z at the end, in UTC',
  });
}

const RELATIONS = { '+': 'more', '-': 'fewer', '': 'exactly' } as const;

function sizeOf(flags: FlagValues): Criteria['size'] {
  const text = flags.text('size');
  if (text === undefined) return undefined;
  const sign = text.startsWith('+') ? '+' : text.startsWith('-') ? '-' : '';
  const bytes = parseSize(text.slice(sign.length));
  if (bytes !== undefined) return { relation: RELATIONS[sign], bytes };
  throw new LbsError('usage', `--size=${JSON.stringify(text)} is not a size`, {
    hint: 'write +1M for more than one MiB, -1M for less, or a number of bytes',
  });
}

function sha256Of(flags: FlagValues): string | undefined {
  const text = flags.text('sha256');
  if (text === undefined) return undefined;
  if (/^[0-9a-fA-F]+$/.test(text) && text.length <= SHA256_DIGITS) return text.toLowerCase();
  throw new LbsError('usage', `--sha256=${JSON.stringify(text)} is no SHA-256`, {
    hint: `write up to ${SHA256_DIGITS} hexadecimal digits, as sha256sum prints them`,
  });
}

/** What is looked for. @throws {LbsError} usage */
function criteriaOf(flags: FlagValues): Criteria {
  const name = flags.text('name');
  if (name?.includes('/')) {
    throw new LbsError('usage', `--name=${JSON.stringify(name)} has a slash, as no name has`, {
      hint: 'give the directory as PATH, and a pattern of the last part as --name',
    });
  }
  const criteria = {
    name,
    newerThan: newerOf(flags),
    size: sizeOf(flags),
    sha256: sha256Of(flags),
  };
  const isAny = Object.values(criteria).some((value) => value !== undefined);
  if (isAny || flags.operands.length > 0) return present(criteria);
  throw new LbsError('usage', 'nothing to find was given', {
    hint: "say what it is like, as in --name='*.tex', or where it is",
  });
}

/** Finds entries. */
export async function runFind(input: CommandInput): Promise<number> {
  const { flags, outputs } = input;
  const report = openReport('find', flags, outputs);
  const out = new Output(process.stdout, true);
  try {
    const reading = readOptionsOf(input, "lbs find --store=/mnt/backup --name='*.tex'");
    refuseOperands(flags, 1, `find ${FIND.usage.join('')}`);
    const criteria = criteriaOf(flags);
    const { find } = await import('../inspect/find.ts');
    let isDamaged = false;
    const watched: Report = (event) => {
      isDamaged ||= event.type === 'damage';
      report.report(event);
    };
    const path = flags.operands[0];
    const found = await find({ ...reading, criteria, report: watched, ...present({ path }) });
    try {
      await write(found, flags.isOn('json'), out, input.signal);
    } finally {
      found.versions.close();
    }
    return isDamaged ? EXIT.damaged : EXIT.done;
  } finally {
    report.close();
    await out.flush();
  }
}

type Found = Awaited<ReturnType<(typeof import('../inspect/find.ts'))['find']>>;

async function write(
  { snapshots, versions }: Found,
  isJson: boolean,
  out: Output,
  signal: AbortSignal,
): Promise<void> {
  const names = snapshots.map(({ name }) => showText(name));
  const nameWidth = Math.max(...names.map((name) => name.length));
  const countWidth = String(names.length).length;
  for (const version of versions.versions()) {
    if (isJson) {
      const held = version.snapshots.flatMap((at) => snapshots[at]?.name ?? []);
      const fields = { message_type: 'match', ...versionFields(version), snapshots: held };
      out.line(JSON.stringify(fields));
    } else {
      const held = version.snapshots.map((at) => names[at] ?? '');
      const columns = [
        (held[0] ?? '').padEnd(nameWidth),
        (held.at(-1) ?? '').padEnd(nameWidth),
        String(held.length).padStart(countWidth),
        sizeColumn(version).padStart(SIZE_WIDTH),
        dateColumn(version),
        showPath(version.path),
      ];
      out.line(columns.join('  '));
    }
    await out.room(signal);
    // The reader has seen enough (`lbs find | head`).
    if (out.isClosed) break;
  }
}
