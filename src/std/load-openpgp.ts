/**
 * Loads the openpgp library, on use and quietly. Everybody who needs it gets it here.
 *
 * With NODE_ENV=development the library prints what it cannot read, such as lines of a secret key. It
 * looks at that variable once, while it is loaded; programs that are started get it as it was.
 */
import type * as OpenPgp from 'openpgp';

export async function loadOpenPgp(): Promise<typeof OpenPgp> {
  const before = process.env['NODE_ENV'];
  delete process.env['NODE_ENV'];
  try {
    return await import('openpgp');
  } finally {
    if (before !== undefined) process.env['NODE_ENV'] = before;
  }
}
