/**
 * Whether an entry is as it was in the snapshot before, so that it need not be read, or not even
 * described again.
 */
import type { CacheRecord } from '../localdb/stat-cache-record.ts';
import type { CachedAccount } from '../localdb/stat-cache-writer.ts';
import type { StatusLine } from '../localdb/status-line.ts';
import { groupName, userName } from '../posix/accounts.ts';
import type { FileStatus } from '../posix/file-status.ts';
import type { SegmentUse } from './segment-use.ts';

/** Names of accounts as the last snapshot has them: a renamed user changes stanzas. */
export class RecordedAccounts {
  readonly #before: ReadonlyMap<string, string | undefined>;
  readonly #present = new Map<string, CachedAccount>();
  readonly #same = new Map<string, boolean>();
  /** The answer before: most entries have the owner and the group of the one before them. */
  #last = { uid: -1, gid: -1, areSame: false };

  /** Takes the names as the stat cache has them; none without a cache. */
  constructor(before: ReadonlyMap<string, string | undefined> | undefined) {
    this.#before = before ?? new Map();
  }

  /** True when both names are what the last snapshot recorded. Remembers the present ones. */
  areSame(uid: number, gid: number): boolean {
    if (this.#last.uid !== uid || this.#last.gid !== gid) {
      // Both are asked, so that both are remembered.
      const [user, group] = [this.#isSame('u', uid), this.#isSame('g', gid)];
      this.#last = { uid, gid, areSame: user && group };
    }
    return this.#last.areSame;
  }

  #isSame(kind: 'u' | 'g', id: number): boolean {
    const key = `${kind}${id}`;
    let same = this.#same.get(key);
    if (same === undefined) {
      const name = kind === 'u' ? userName(id) : groupName(id);
      this.#present.set(key, { kind, id, name });
      same = this.#before.has(key) && this.#before.get(key) === name;
      this.#same.set(key, same);
    }
    return same;
  }

  present(): CachedAccount[] {
    return [...this.#present.values()];
  }

  /**
   * Those that are true of what this run wrote and of what is left of the snapshot before: a name
   * that changed meanwhile is neither, and stanzas with it are written anew.
   */
  common(): CachedAccount[] {
    const before = [...this.#before].flatMap(([key, name]): CachedAccount[] => {
      const kind = key.startsWith('u') ? 'u' : 'g';
      return this.#present.has(key) ? [] : [{ kind, id: Number(key.slice(1)), name }];
    });
    const isCommon = ({ kind, id, name }: CachedAccount) => {
      const key = `${kind}${id}`;
      return !this.#before.has(key) || this.#before.get(key) === name;
    };
    return [...before, ...this.present().filter(isCommon)];
  }
}

/** What the stat cache can save for one entry. */
export type Saving =
  /** Nothing: describe it, and read its content. */
  | 'none'
  /** The content is stored; describe it anew. */
  | 'content'
  /** All but what only a second look can tell: its attributes may have changed in one tick. */
  | 'look'
  /** Content and stanza are stored. */
  | 'all';

export type SavingRules = {
  readonly use: SegmentUse;
  readonly accounts: RecordedAccounts;
  readonly canUseMetadata: (object: string) => boolean;
  readonly fullMetadata: boolean;
};

/** Decides; marks nothing. */
export function savingFor(
  record: CacheRecord | undefined,
  line: StatusLine,
  status: FileStatus,
  rules: SavingRules,
): Saving {
  // Asked for every entry, so that all names of this snapshot are remembered.
  const sameAccounts = rules.accounts.areSame(status.uid, status.gid);
  if (record === undefined) return 'none';
  if (status.type === 'f') {
    if (!record.hasSameContent(line)) return 'none';
    if (!rules.use.isContentUsable(record)) return 'none';
  }
  const isSame =
    record.hasSameStatus(line) &&
    sameAccounts &&
    !rules.fullMetadata &&
    rules.canUseMetadata(record.object);
  if (isSame) return record.isTrusted ? 'all' : 'look';
  return status.type === 'f' ? 'content' : 'none';
}
