/**
 * The older protocol: a command for each file, `SCRIPT LOCAL TYPE REMOTE`, which exits with 0 when
 * the file is stored.
 *
 * Its standard output goes where its standard error goes, because ours is for results.
 */
import { type Upload, type Uploader, endWords, startScript, uploadFailed } from './uploader.ts';

const STDERR = 2;

/** One word of a shell, whatever is in it. */
function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

export class UploadCalls implements Uploader {
  readonly #command: string;
  /** One after the other: who wrote such a script may not have thought of two at once. */
  #turn: Promise<void> = Promise.resolve();
  #failure: unknown;

  constructor(command: string) {
    this.#command = command;
  }

  begin(): void {
    // There is nothing to be started before the first file.
  }

  async put(upload: Upload): Promise<void> {
    const turn = this.#turn.then(() => this.#call(upload));
    this.#turn = turn.catch(() => undefined);
    await turn;
  }

  async #call({ type, remote, local }: Upload): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const command = `${this.#command} ${quoted(local)} ${type} ${quoted(remote)}`;
    const end = await startScript(command, ['ignore', STDERR, STDERR]).ended;
    if (end.code === 0) return;
    this.#failure = uploadFailed(this.#command, `${endWords(end)} for ${remote}`);
    throw this.#failure;
  }

  async end(): Promise<void> {
    await this.#turn;
    if (this.#failure !== undefined) throw this.#failure;
  }

  async close(): Promise<void> {
    await this.#turn;
  }
}
