/**
 * Names of users and groups by number, and back, through libc, so that every name service of
 * the machine counts. Each answer is remembered for the run.
 */
import koffi from 'koffi';

const libc = koffi.load(null);

koffi.struct('lbs_passwd', {
  name: 'char *',
  password: 'char *',
  uid: 'uint32_t',
  gid: 'uint32_t',
});
koffi.struct('lbs_group', { name: 'char *', password: 'char *', gid: 'uint32_t' });

const byUid = libc.func('lbs_passwd *getpwuid(uint32_t uid)');
const byGid = libc.func('lbs_group *getgrgid(uint32_t gid)');
const byUser = libc.func('lbs_passwd *getpwnam(const char *name)');
const byGroup = libc.func('lbs_group *getgrnam(const char *name)');

type Record = { name?: unknown; uid?: unknown; gid?: unknown };

function decode(pointer: unknown, type: string): Record | undefined {
  if (pointer === null) return undefined;
  const record: unknown = koffi.decode(pointer, type);
  return typeof record === 'object' && record !== null ? record : undefined;
}

function remembered<K, V>(look: (key: K) => V): (key: K) => V {
  const known = new Map<K, { value: V }>();
  return (key) => {
    let found = known.get(key);
    if (!found) known.set(key, (found = { value: look(key) }));
    return found.value;
  };
}

/** The user's name; undefined when the number has none. */
export const userName = remembered((uid: number): string | undefined => {
  const name = decode(byUid(uid), 'lbs_passwd')?.name;
  return typeof name === 'string' ? name : undefined;
});

export const groupName = remembered((gid: number): string | undefined => {
  const name = decode(byGid(gid), 'lbs_group')?.name;
  return typeof name === 'string' ? name : undefined;
});

/** The user's number; undefined when the name is unknown here. */
export const userId = remembered((name: string): number | undefined => {
  const uid = decode(byUser(name), 'lbs_passwd')?.uid;
  return typeof uid === 'number' ? uid : undefined;
});

export const groupId = remembered((name: string): number | undefined => {
  const gid = decode(byGroup(name), 'lbs_group')?.gid;
  return typeof gid === 'number' ? gid : undefined;
});
