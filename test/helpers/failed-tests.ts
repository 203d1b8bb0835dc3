/**
 * What of a run of tests has failed, out of the lines that ava writes about all of them: to be told
 * once more at the end, where it is seen. Of a long record often only the end is kept.
 */

/** Of each failure: its first lines, which have the log and what differs, and its last, the message. */
const HEAD_LINES = 25;
const TAIL_LINES = 15;
const LINE_CHARS_MAX = 400;
/** Of further ones there is only the title: then they have one cause, most likely. */
const TOLD_WHOLE_MAX = 10;

type Failure = { readonly title: string; readonly lines: string[] };

function shortened(lines: readonly string[]): string[] {
  const left = lines.length - HEAD_LINES - TAIL_LINES;
  const shown =
    left <= 1
      ? lines
      : [...lines.slice(0, HEAD_LINES), `    [${left} lines]`, ...lines.slice(-TAIL_LINES)];
  return shown.map((line) =>
    line.length > LINE_CHARS_MAX ? `${line.slice(0, LINE_CHARS_MAX)} [...]` : line,
  );
}

export class FailedTests {
  readonly #failures: Failure[] = [];
  #isWithin = false;

  get count(): number {
    return this.#failures.length;
  }

  /** To be told of each line, in order. */
  line(text: string): void {
    const title = /^not ok \d+ - (.*)$/.exec(text)?.[1];
    if (title !== undefined && !title.endsWith('# TODO')) {
      this.#failures.push({ title, lines: [] });
      this.#isWithin = true;
      return;
    }
    // Logs begin with `#   `, and details are indented between `---` and `...`; they may have empty lines.
    if (/^(?:ok|not ok|1\.\.\d|# )/.test(text) && !text.startsWith('#   ')) this.#isWithin = false;
    if (this.#isWithin && !/^ {2}(?:---|\.\.\.)$/.test(text)) {
      this.#failures.at(-1)?.lines.push(text);
    }
  }

  /** All failures, each with its title and what is known of it; empty where there are none. */
  told(): string[] {
    if (this.count === 0) return [];
    const lines = this.#failures.flatMap(({ title, lines: details }, at) => [
      ...(at < TOLD_WHOLE_MAX ? ['', `FAILED: ${title}`, ...shortened(details)] : []),
    ]);
    if (this.count === 1) return lines;
    const titles = this.#failures.map(({ title }) => `FAILED: ${title}`);
    return [...lines, '', `${this.count} failures:`, ...titles];
  }
}
