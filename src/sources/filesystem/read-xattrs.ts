/** Extended attributes of one entry: ACLs, capabilities and everything else lives in them. */
import type { Xattr } from '../../format/entry.ts';
import * as libc from '../../posix/libc.ts';

/** All attributes, sorted by name. @throws {SystemError} */
export function readXattrs(place: libc.XattrPlace): Xattr[] {
  const found: Xattr[] = [];
  for (const name of libc.listXattrs(place)) {
    const value = libc.getXattr(place, name);
    if (value !== undefined) found.push({ name, value });
  }
  return found.sort((a, b) => a.name.compare(b.name));
}
