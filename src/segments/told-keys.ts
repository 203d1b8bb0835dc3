/**
 * Session keys for helper threads: they ask the main thread, which alone has the secret keys.
 *
 * So a passphrase is asked for once, each thread has the key of the segment that it works on and no
 * other, and the openpgp library is loaded once. Called where threads are started, and in them.
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { type ErrorCode, LbsError, messageOf } from '../errors.ts';
import type { OpenFile } from '../stores/store.ts';
import type { FindSessionKey } from './decrypt-key.ts';
import type { SessionKey } from './decrypt-segment.ts';
import type { Reading } from './unfilter.ts';

/** What a thread gets with its start. */
export type ThreadReading = {
  readonly unfilters: Reading['unfilters'];
  readonly keys: MessagePort | undefined;
};

/** Descriptors are common to all threads. */
type Question = { readonly number: number; readonly fd: number; readonly sizeBytes: number };
type Answer = { readonly number: number } & (
  | { readonly session: SessionKey }
  | { readonly error: { code: ErrorCode; message: string; hint: string | undefined } }
);

/** What a thread that is started gets, and the ports that go over to it. */
export function readingForThread({ unfilters, findSessionKey }: Reading): {
  reading: ThreadReading;
  transferList: MessagePort[];
} {
  if (findSessionKey === undefined) {
    return { reading: { unfilters, keys: undefined }, transferList: [] };
  }
  const { port1, port2 } = new MessageChannel();
  port1.on('message', (question: Question) => {
    void answerTo(question, findSessionKey).then((answer) => port1.postMessage(answer));
  });
  port1.unref();
  return { reading: { unfilters, keys: port2 }, transferList: [port2] };
}

async function answerTo(
  { number, fd, sizeBytes }: Question,
  find: FindSessionKey,
): Promise<Answer> {
  try {
    return { number, session: await find({ fd, sizeBytes, close: () => undefined }) };
  } catch (error) {
    const { code, hint } =
      error instanceof LbsError ? error : ({ code: 'internal', hint: undefined } as const);
    return { number, error: { code, message: messageOf(error), hint } };
  }
}

/** In the thread. */
export function readingInThread({ unfilters, keys }: ThreadReading): Reading {
  if (keys === undefined) return { unfilters };
  const asked = new Map<number, (answer: Answer) => void>();
  let questions = 0;
  keys.on('message', (answer: Answer) => {
    asked.get(answer.number)?.(answer);
    asked.delete(answer.number);
  });
  keys.unref();
  const findSessionKey = async ({ fd, sizeBytes }: OpenFile): Promise<SessionKey> => {
    const question: Question = { number: questions++, fd, sizeBytes };
    const answer = await new Promise<Answer>((resolve) => {
      asked.set(question.number, resolve);
      keys.postMessage(question);
    });
    if ('session' in answer) return answer.session;
    const { code, message, hint } = answer.error;
    throw new LbsError(code, message, hint === undefined ? {} : { hint });
  };
  return { unfilters, findSessionKey };
}
