/**
 * The newer protocol: the script is started once, is told of each file by a line on its standard
 * input, `PUT TYPE REMOTE LOCAL`, and answers each with the line `OK` when the file is stored.
 */
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { LbsError } from '../errors.ts';
import { uriEscape } from '../format/uri-escape.ts';
import { showText } from '../std/byte-path.ts';
import {
  NOT_FOUND,
  type Ended,
  type Script,
  type Upload,
  type Uploader,
  endWords,
  startScript,
  uploadFailed,
} from './uploader.ts';

const LINE_END = 0x0a;
/** An answer is two letters; of what else a script says so much is kept. */
const ANSWER_BYTES_MAX = 1024;
/** How long a script that has failed may take to end when its input has ended. */
const LAST_WORK_MS = 1000;

type Waiting = { readonly resolve: () => void; readonly reject: (error: unknown) => void };

export class UploadStream implements Uploader {
  readonly #command: string;
  #script: (Script & { readonly input: Writable }) | undefined;
  /** Files are sent one after the other: an answer is always that to the last. */
  #turn: Promise<void> = Promise.resolve();
  #waiting: Waiting | undefined;
  #answer = Buffer.alloc(0);
  #failure: LbsError | undefined;
  #isEnding = false;

  constructor(command: string) {
    this.#command = command;
  }

  begin(): void {
    const script = startScript(this.#command, ['pipe', 'pipe', 'inherit']);
    const { stdin, stdout } = script.child;
    if (stdin === null || stdout === null) throw new LbsError('internal', 'a script has no pipes');
    this.#script = { ...script, input: stdin };
    // That it reads no more is told by its end, which says why.
    stdin.on('error', () => undefined);
    this.#listen(stdout, script.ended);
  }

  #listen(output: Readable, ended: Promise<Ended>): void {
    output.on('data', (bytes: Buffer) => this.#said(bytes));
    output.on('error', () => undefined);
    const isOver = new Promise<void>((resolve) => output.once('close', resolve));
    void isOver.then(async () => {
      // Its exit tells more, and comes at the same time, unless it goes on without answering.
      const end = await Promise.race([ended, sleep(LAST_WORK_MS, undefined, { ref: false })]);
      this.#stopped(end);
    });
    // Something that it has left behind may hold the pipe open.
    void ended.then(async (end) => {
      await Promise.race([isOver, sleep(LAST_WORK_MS, undefined, { ref: false })]);
      this.#stopped(end);
    });
  }

  #stopped(end: Ended | undefined): void {
    if (this.#isEnding) return;
    const how = end === undefined ? 'closed its standard output' : endWords(end);
    this.#fail(end?.code === NOT_FOUND ? how : `${how} before it had answered for everything`);
  }

  #said(bytes: Buffer): void {
    this.#answer = Buffer.concat([this.#answer, bytes]);
    const end = this.#answer.indexOf(LINE_END);
    if (end < 0 && this.#answer.length <= ANSWER_BYTES_MAX) return;
    const said = this.#answer.toString('utf8');
    const waiting = this.#waiting;
    if (said !== 'OK\n' || waiting === undefined) {
      const unasked = waiting === undefined ? ' without being asked' : '';
      const shown = showText(said.replace(/\n$/, '').slice(0, ANSWER_BYTES_MAX));
      this.#fail(`answered "${shown}"${unasked}, where only OK is good`);
      return;
    }
    this.#answer = Buffer.alloc(0);
    this.#waiting = undefined;
    waiting.resolve();
  }

  #fail(what: string): void {
    this.#failure ??= uploadFailed(this.#command, what);
    this.#waiting?.reject(this.#failure);
    this.#waiting = undefined;
  }

  async put(upload: Upload): Promise<void> {
    const turn = this.#turn.then(() => this.#put(upload));
    this.#turn = turn.catch(() => undefined);
    await turn;
  }

  async #put({ type, remote, local }: Upload): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    await new Promise<void>((resolve, reject) => {
      this.#waiting = { resolve, reject };
      const fields = [remote, local].map((field) => uriEscape(Buffer.from(field)));
      this.#script?.input.write(`PUT ${type} ${fields.join(' ')}\n`);
    });
  }

  async end(): Promise<void> {
    const script = this.#script;
    if (this.#failure !== undefined) throw this.#failure;
    if (script === undefined) return;
    this.#isEnding = true;
    script.input.end();
    const end = await script.ended;
    this.#script = undefined;
    if (this.#failure !== undefined) throw this.#failure;
    if (end.code === 0) return;
    throw uploadFailed(this.#command, `${endWords(end)} at its end`);
  }

  async close(): Promise<void> {
    const script = this.#script;
    if (script === undefined) return;
    this.#isEnding = true;
    this.#script = undefined;
    script.input.end();
    if (this.#failure === undefined) {
      await script.ended;
      return;
    }
    const isOver = await Promise.race([script.ended, sleep(LAST_WORK_MS)]);
    if (isOver === undefined) endGroup(script);
  }
}

/** Ends it and what it has started. */
function endGroup({ child }: Script): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGTERM');
  } catch {
    // It has ended by itself meanwhile.
  }
}
