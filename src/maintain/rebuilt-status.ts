/** What the stanza of an entry tells of its status and of its owners, as a stat cache has them. */
import type { Entry } from '../format/entry.ts';
import type { CachedAccount } from '../localdb/stat-cache-writer.ts';
import { UNKNOWN_INODE, statusLine } from '../localdb/status-line.ts';

const NO_DEVICE = '0/0';

/**
 * The line of the status that the entry had. Undefined where the stanza lacks something, and for a
 * symbolic link: its target is not compared, since as a rule no link takes another's inode.
 */
export function rebuiltStatus(entry: Entry): string | undefined {
  const { type, mode, uid, gid, mtime, ctime, btime, links, device: node } = entry;
  if (mode === undefined || uid === undefined || gid === undefined) return undefined;
  if (mtime === undefined || ctime === undefined || type === 'l') return undefined;
  // Device and inode are recorded where they tie hard links together.
  const isTied = type !== 'd' && links > 1;
  const tie = isTied ? (entry.inode ?? '') : '';
  const slash = tie.lastIndexOf('/');
  if (isTied && slash < 0) return undefined;
  return statusLine({
    ...{ type, mode, uid, gid, links, mtime, ctime, btime },
    inode: isTied ? tie.slice(slash + 1) : UNKNOWN_INODE,
    device: tie.slice(0, Math.max(0, slash)),
    sizeBytes: entry.sizeBytes,
    blocks: 0,
    rdev: node === undefined ? NO_DEVICE : `${node.major}/${node.minor}`,
    attributes: entry.flags,
    isMountPoint: false,
  });
}

/** Names of owners in one snapshot; a number that has two is left out. */
export class RebuiltAccounts {
  readonly #known = new Map<string, CachedAccount>();
  readonly #several = new Set<string>();

  add({ uid, user, gid, group }: Entry): void {
    if (uid !== undefined) this.#add({ kind: 'u', id: uid, name: user });
    if (gid !== undefined) this.#add({ kind: 'g', id: gid, name: group });
  }

  #add(account: CachedAccount): void {
    const key = `${account.kind}${account.id}`;
    const known = this.#known.get(key);
    if (known === undefined) this.#known.set(key, account);
    else if (known.name !== account.name) this.#several.add(key);
  }

  all(): CachedAccount[] {
    return [...this.#known].flatMap(([key, account]) => (this.#several.has(key) ? [] : [account]));
  }
}
