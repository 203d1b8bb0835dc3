/**
 * What is aimed at, per section and row of the table. Those with `ratio` say how long lbs may take
 * in relation to the program of that row; the others are about the figure of the row itself.
 * Where the number is our reading of an aim in words, a comment says so.
 */

/** Sections of the table, in its order. */
export const SECTION = {
  first: 'First backup, small files',
  big: 'First backup, big files',
  unchanged: 'Nothing changed',
  onePercent: '1 % of files changed',
  restoreDisk: 'Restore of everything, to disk',
  restoreTmpfs: 'Restore of everything, to tmpfs',
  restoreOne: 'Restore of one small file',
  series: 'A series of snapshots',
  store: 'Size of the store',
  blocks: 'What a change adds to the store',
  verify: 'Verify and list',
  filter: 'A classic filter: bzip2 -c',
  growth: 'Growth, tiny files',
  segments: 'A store of very many segments',
  memory: 'Peak memory of lbs',
} as const;

export type Section = (typeof SECTION)[keyof typeof SECTION];

export type Goal =
  { readonly ratio: number } | { readonly atMost: number } | { readonly atLeast: number };

/** MB for every command. */
export const MEMORY_MAX_MB = 160;
/** MB for trees of any size: within 20 % of the other. */
export const MEMORY_MAX_LARGE_MB = 1.2 * MEMORY_MAX_MB;

/** Rows that have a goal and are no program. */
export const ROW = {
  find: 'find -printf',
  tarOfChanged: 'tar | zstd of the changed files',
  onePercentShare: 'lbs / (3 find + tar | zstd)',
  besideLists: 'added by lbs beside the lists',
  segmentsRead: 'segments read beside metadata',
  storeShare: 'lbs / (tar | zstd)',
  firstSnapshot: 'lbs restore, first snapshot',
  latestSnapshot: 'lbs restore, latest snapshot',
  latestShare: 'latest / first',
  inserted: 'lbs: a byte inserted at the start',
  renamed: 'lbs: tree renamed, per entry',
  database: 'lbs: database, 100 places',
  verifyData: 'lbs verify --data',
  verifyChecksums: 'lbs verify',
  ls: 'lbs ls',
  verifyReference: 'zstd -dc of all segments',
  list: 'lbs list',
  help: 'lbs --help',
  memoryOfGrowth: 'backup of the most tiny files',
  cores: 'share of the processors used',
  flatFirst: 'first, largest / smallest',
  flatUnchanged: 'unchanged, largest / smallest',
  manySegments: 'any command, very many segments',
} as const;

/** The row of lbs that others of its section are compared with; in other sections `lbs`. */
export const SUBJECT: { readonly [section in Section]?: string } = {
  [SECTION.verify]: ROW.verifyData,
};

/** Rows of the memory section, and the measured command that each is of. */
export const MEMORY_ROWS: readonly { name: string; section: Section; row: string }[] = [
  { name: 'backup, first', section: SECTION.first, row: 'lbs' },
  { name: 'backup, big files', section: SECTION.big, row: 'lbs' },
  { name: 'backup, nothing changed', section: SECTION.unchanged, row: 'lbs' },
  { name: 'backup, 1 % changed', section: SECTION.onePercent, row: 'lbs' },
  { name: 'backup, bzip2 -c', section: SECTION.filter, row: 'lbs' },
  { name: 'restore', section: SECTION.restoreDisk, row: 'lbs' },
  { name: 'restore of one file', section: SECTION.restoreOne, row: 'lbs' },
  { name: 'verify', section: SECTION.verify, row: ROW.verifyChecksums },
  { name: 'verify --data', section: SECTION.verify, row: ROW.verifyData },
  { name: 'list', section: SECTION.verify, row: ROW.list },
  { name: 'ls', section: SECTION.verify, row: ROW.ls },
];

const TAR = 'tar | zstd -3 -T0';
const RESTIC = 'restic';
const BORG = 'borg -C zstd,3';

export const GOALS: { readonly [section in Section]?: Readonly<Record<string, Goal>> } = {
  [SECTION.first]: {
    [TAR]: { ratio: 1.25 },
    [RESTIC]: { ratio: 0.5 },
    [BORG]: { ratio: 0.5 },
  },
  [SECTION.big]: { [TAR]: { ratio: 1.25 } },
  [SECTION.unchanged]: {
    [ROW.find]: { ratio: 2 },
    [RESTIC]: { ratio: 0.25 },
    [BORG]: { ratio: 0.25 },
    [ROW.besideLists]: { atMost: 2000 },
  },
  [SECTION.onePercent]: { [ROW.onePercentShare]: { atMost: 1 } },
  [SECTION.restoreDisk]: {
    [TAR]: { ratio: 1.15 },
    [RESTIC]: { ratio: 1 },
    [BORG]: { ratio: 1 },
  },
  [SECTION.restoreTmpfs]: {
    [TAR]: { ratio: 1.15 },
    [RESTIC]: { ratio: 1 },
    [BORG]: { ratio: 1 },
  },
  [SECTION.restoreOne]: { lbs: { atMost: 0.5 }, [ROW.segmentsRead]: { atMost: 2 } },
  [SECTION.series]: { [ROW.latestShare]: { atMost: 1.2 } },
  [SECTION.store]: { [ROW.storeShare]: { atMost: 0.85 } },
  [SECTION.blocks]: {
    [ROW.inserted]: { atMost: 4e6 },
    // "Nothing but metadata": two digests, a reference and what else does not compress.
    [ROW.renamed]: { atMost: 200 },
    // "About 100 small blocks": 100 of 64 KiB.
    [ROW.database]: { atMost: 100 * 65536 },
  },
  [SECTION.verify]: {
    // "At the speed of its decompressor": what a restore may take.
    [ROW.verifyReference]: { ratio: 1.15 },
    [ROW.list]: { atMost: 0.3 },
    [ROW.help]: { atMost: 0.1 },
  },
  // "Both cores compress".
  [SECTION.filter]: { [ROW.cores]: { atLeast: 0.85 } },
  [SECTION.memory]: {
    ...Object.fromEntries(MEMORY_ROWS.map(({ name }) => [name, { atMost: MEMORY_MAX_MB }])),
    [ROW.memoryOfGrowth]: { atMost: MEMORY_MAX_LARGE_MB },
    [ROW.manySegments]: { atMost: MEMORY_MAX_LARGE_MB },
  },
  // "Flat"; the start of the program makes small trees look slower.
  [SECTION.growth]: { [ROW.flatFirst]: { atMost: 1.2 }, [ROW.flatUnchanged]: { atMost: 1.2 } },
};
