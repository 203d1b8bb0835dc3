/**
 * Ends the process without the runtime's farewell.
 *
 * `process.exit` waits for the runtime's helper threads. One that compiles may be waiting for a
 * garbage collection, which only the thread that waits for it could do: then the program has said
 * its result and never ends (seen once in some 20 runs of a verification, Node 24.21). Everything
 * that must be on disk is there before a command returns, so nothing is left for a farewell.
 */
import { flushCompileCache, getCompileCacheDir } from 'node:module';
import koffi from 'koffi';

const exit = koffi.load(null).func('void _exit(int code)');

/** Never returns. What is not written to standard output by now is lost. */
export function exitAtOnce(code: number): never {
  // Who set NODE_COMPILE_CACHE wants the next start to be faster; the farewell would have written it.
  if (getCompileCacheDir() !== undefined) flushCompileCache();
  exit(code);
  throw new Error('_exit returned');
}
