/** From what a person writes after `--store=` to a store. Directories for now; URLs later. */
import { LbsError } from '../errors.ts';
import { type DirectoryStore, openDirectoryStore } from './directory-store.ts';

/** @throws {LbsError} usage for an unknown kind, store-missing */
export function openStore(place: string): DirectoryStore {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(place)?.[1];
  if (scheme !== undefined && scheme !== 'file') {
    throw new LbsError('usage', `stores of kind "${scheme}://" are not known`, {
      hint: 'a store is a directory; mount a remote place (sshfs, NFS, rclone mount) to use it',
    });
  }
  return openDirectoryStore(scheme === undefined ? place : pathOf(place));
}

/** Of a `file:` URL; one with the name of a machine would become a path in the working directory. */
function pathOf(url: string): string {
  const hint = 'write file:///PATH with "%" as %25, or the path itself';
  const path = url.replace(/^file:\/\/(?:localhost(?=\/))?/i, '');
  if (!path.startsWith('/')) {
    throw new LbsError('usage', `"${url}" does not name a directory of this machine`, { hint });
  }
  try {
    return decodeURIComponent(path);
  } catch (cause) {
    throw new LbsError('usage', `"${url}" is not a usable URL`, { cause, hint });
  }
}
