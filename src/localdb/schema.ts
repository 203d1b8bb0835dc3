/**
 * The tables of the local database, and how an older one becomes a newer one.
 * Described in lbs-localdb(5). Times are whole seconds since 1970, UTC.
 */

/** Marks the file as ours (`pragma application_id`): "lbs1" as a number. */
export const APPLICATION_ID = 0x6c627331;

/**
 * One script per schema version, applied in order within a transaction. Never edit one that was
 * released: add another.
 */
export const MIGRATIONS: readonly string[] = [
  `
  -- What this database is: 'owner' is a random name of it.
  create table facts(key text primary key, value text not null) without rowid;

  -- Segments that are durable in the store.
  create table segments(
    id integer primary key,
    name text not null unique,
    grp text not null,              -- data, metadata, compacted-N
    file text not null,             -- name in the store, with the filter's extension
    sha1 blob not null,             -- of the stored (filtered) file
    sha256 blob not null,
    raw_bytes integer not null,     -- sum of its objects' sizes
    stored_bytes integer not null,  -- size of the stored file
    objects integer not null,
    created integer not null,
    expired integer                 -- when cleaning gave it up; null while in use
  );

  -- One row per object. id = segment id * 2^24 + number of the object in the segment, so that a
  -- segment's objects lie together; key = the first 48 bits of sha256, so that the index by
  -- content stays small (rows of equal key are told apart by the whole digest).
  create table blocks(
    id integer primary key,
    key integer not null,
    sha256 blob not null,
    size integer not null,
    age integer,                    -- when the content was first stored; null: with its segment
    expired integer                 -- null: may be used; 0: rewrite to data; n: to compacted-n
  );
  create index blocks_by_content on blocks(key);
  create index blocks_expired on blocks(id) where expired is not null;

  create table snapshots(
    id integer primary key,
    name text not null,             -- not unique: one database may serve several stores
    scheme text not null,           -- '' for none
    created integer not null,
    entries integer not null,
    files integer not null,
    bytes integer not null
  );

  -- Which objects of a segment a snapshot uses: a bit per object, lowest first.
  create table segments_used(
    snapshot integer not null,
    segment integer not null,
    objects blob not null,
    primary key(snapshot, segment)
  ) without rowid;
  `,
  `
  -- Snapshots that compacting put in place of others, by the SHA-256 of their descriptors as stored.
  create table compacted(
    descriptor blob primary key,
    name text not null,
    old_name text not null,
    old_descriptor blob not null,   -- SHA-256 of that one's
    arrived integer not null        -- when the store got the first descriptor of this snapshot
  ) without rowid;
  `,
];
