/**
 * The one line of progress at the foot of a terminal: rewritten in place, at most ten times a
 * second, never wider than the screen, and taken away before any other line is printed.
 */
import type { Progress } from '../report.ts';
import { showPath } from '../std/byte-path.ts';
import { humanCount, humanSize } from '../std/human-size.ts';

/** Often enough to look alive, seldom enough to cost nothing. */
const REWRITE_INTERVAL_MS = 100;
/** Rates and remaining times of the first moments are noise. */
const RATE_AFTER_MS = 2000;
const COLUMNS_DEFAULT = 80;
const ERASE_LINE = '\r\u001b[K';

const WIDE =
  /[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\p{Emoji_Presentation}\uff01-\uff60]/u;
const NO_WIDTH = /[\p{Mn}\p{Me}\p{Cf}]/u;

function columnsOf(char: string): number {
  if (char >= ' ' && char <= '~') return 1;
  if (NO_WIDTH.test(char)) return 0;
  return WIDE.test(char) ? 2 : 1;
}

/** Columns that text takes on a terminal, near enough. */
export function textColumns(text: string): number {
  let columns = 0;
  for (const char of text) columns += columnsOf(char);
  return columns;
}

/** The end of a text in at most `room` columns: of a path, the end says most. */
function tailOf(text: string, room: number): string {
  if (textColumns(text) <= room) return text;
  let tail = '';
  let columns = 3;
  for (const char of Array.from(text).reverse()) {
    columns += columnsOf(char);
    if (columns > room) break;
    tail = char + tail;
  }
  return `...${tail}`;
}

/** `0:07`, `12:40`, `3:02:11`. */
function clockText(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (n: number) => String(n).padStart(2, '0');
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}:${two(seconds % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(seconds % 60)}`;
}

/** Done so far, 0 to 1: by bytes where that means something, else by files. */
function fractionOf(progress: Progress): number | undefined {
  const { bytes, files, totalBytes, totalFiles } = progress;
  if (totalBytes !== undefined && totalBytes > 0) return Math.min(1, bytes / totalBytes);
  if (totalFiles !== undefined && totalFiles > 0) return Math.min(1, files / totalFiles);
  return undefined;
}

/** The line itself, at most `columns - 1` wide so that the cursor does not wrap. */
export function formatProgress(progress: Progress, elapsedMs: number, columns: number): string {
  const files = `${humanCount(progress.files)} ${progress.files === 1 ? 'file' : 'files'}`;
  const parts = [clockText(elapsedMs), files, humanSize(progress.bytes)];
  const isSettled = elapsedMs >= RATE_AFTER_MS;
  if (isSettled) parts.push(`${humanSize(Math.round(progress.bytes / (elapsedMs / 1000)))}/s`);
  const fraction = fractionOf(progress);
  if (fraction !== undefined) {
    parts.push(`${Math.floor(fraction * 100)}%`);
    if (isSettled && fraction > 0) {
      parts.push(`ETA ${clockText((elapsedMs / fraction) * (1 - fraction))}`);
    }
  }
  const width = Math.max(1, columns - 1);
  const figures = parts.join('  ');
  const room = width - figures.length - 2;
  if (progress.path === undefined || room < 8) return figures.slice(0, width);
  return `${figures}  ${tailOf(showPath(progress.path), room)}`;
}

/** What a progress line needs of a terminal. */
export type Terminal = { write(text: string): void; readonly columns?: number };

export class ProgressLine {
  readonly #terminal: Terminal;
  readonly #nowMs: () => number;
  readonly #startMs: number;
  #writtenMs = -Infinity;
  #isShown = false;

  constructor(terminal: Terminal, nowMs: () => number = () => performance.now()) {
    this.#terminal = terminal;
    this.#nowMs = nowMs;
    this.#startMs = nowMs();
  }

  /** Shows where the run is, unless that was done a moment ago. */
  update(progress: Progress): void {
    const now = this.#nowMs();
    if (now - this.#writtenMs < REWRITE_INTERVAL_MS) return;
    this.#writtenMs = now;
    this.#isShown = true;
    const columns = this.#terminal.columns ?? COLUMNS_DEFAULT;
    const line = formatProgress(progress, now - this.#startMs, columns);
    this.#terminal.write(ERASE_LINE + line);
  }

  /** Takes the line away; the next update shows it again. */
  clear(): void {
    if (!this.#isShown) return;
    this.#isShown = false;
    this.#terminal.write(ERASE_LINE);
  }
}
