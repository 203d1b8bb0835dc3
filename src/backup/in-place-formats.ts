/**
 * Which large files are changed in place, page by page: databases and disks of virtual machines.
 * Cutting by content is made for bytes that move, and a changed page would cost half a MiB there;
 * these files are cut into small blocks of one size instead.
 *
 * Told by their first bytes, which have been the same for as long as the formats exist. Taking
 * another file for one of these only costs smaller blocks; not knowing one costs larger ones.
 */

/** Enough of a file to know its format by. */
export const HEAD_BYTES = 16 * 1024;

/**
 * Blocks of the smaller files. Measured with a SQLite database of 0.9 GB of which 100 rows anywhere
 * change between snapshots, as MB that the store grows by each time (metadata included), and MB of
 * local database:
 *
 *      16 KiB    2.5   11.4
 *      32 KiB    2.0    5.7    the choice
 *      64 KiB    2.4    2.9
 *       1 MiB   28.1    0.2
 *
 * A first backup takes some 40 us more processor time for each block.
 */
const BLOCK_BYTES_MIN = 32 * 1024;
/**
 * Beyond this many blocks they are made larger: a stanza has 125 bytes for each, and passes through
 * memory whole.
 */
const BLOCKS_MAX = 32 * 1024;
/** By large steps, because a file that grows across one is stored anew. */
const BLOCK_BYTES_STEP = 4;
const BLOCK_BYTES_MAX = 1024 * 1024;

/** `magic` in hex, at byte `at` of the file. */
const MAGICS: readonly { readonly at: number; readonly magic: string; readonly what: string }[] = [
  { at: 0, magic: '53514c69746520666f726d6174203300', what: 'SQLite' },
  { at: 16, magic: 'dec0efbe', what: 'LMDB' },
  { at: 0, magic: '2142444e', what: 'Outlook folders' },
  { at: 0, magic: '514649fb', what: 'QCOW disk' },
  { at: 0, magic: '4b444d56', what: 'VMDK disk' },
  { at: 0, magic: '7668647866696c65', what: 'VHDX disk' },
  { at: 64, magic: '7f10dabe', what: 'VDI disk' },
  { at: 0, magic: '4c554b53babe', what: 'LUKS volume' },
  { at: 0x438, magic: '53ef', what: 'ext2, ext3 or ext4 filesystem' },
];

/**
 * Size of the blocks for a file that begins with `head`, undefined when it is none that is changed
 * in place. A function of nothing else, or the next snapshot would find no block again.
 */
export function inPlaceBlockBytes(head: Buffer, sizeBytes: number): number | undefined {
  const isKnown =
    MAGICS.some(({ at, magic }) => head.toString('hex', at, at + magic.length / 2) === magic) ||
    isPostgres(head) ||
    isInnodb(head) ||
    isPartitionedDisk(head);
  if (!isKnown) return undefined;
  let size = BLOCK_BYTES_MIN;
  while (sizeBytes > size * BLOCKS_MAX) size *= BLOCK_BYTES_STEP;
  return Math.min(size, BLOCK_BYTES_MAX);
}

const POSTGRES_PAGE_BYTES = 8192;
/** Page size and version of the page layout since PostgreSQL 8.3, on little-endian machines. */
const POSTGRES_PAGE_MARK = POSTGRES_PAGE_BYTES | 4;
const POSTGRES_HEADER_BYTES = 24;

/** Tables and indexes: the first two pages have headers that make sense. */
function isPostgres(head: Buffer): boolean {
  if (head.length < 2 * POSTGRES_PAGE_BYTES) return false;
  return [0, POSTGRES_PAGE_BYTES].every((page) => {
    const [lower, upper, special] = [12, 14, 16].map((at) => head.readUInt16LE(page + at));
    if (lower === undefined || upper === undefined || special === undefined) return false;
    return (
      head.readUInt16LE(page + 18) === POSTGRES_PAGE_MARK &&
      POSTGRES_HEADER_BYTES <= lower &&
      lower <= upper &&
      upper <= special &&
      special <= POSTGRES_PAGE_BYTES
    );
  });
}

/** Page 0 of an InnoDB tablespace: of the type that describes one, with its number twice. */
function isInnodb(head: Buffer): boolean {
  const FSP_HEADER_PAGE = 8;
  return (
    head.readUInt32BE(4) === 0 &&
    head.readUInt16BE(24) === FSP_HEADER_PAGE &&
    head.readUInt32BE(34) === head.readUInt32BE(38)
  );
}

/** A whole disk: the mark of a boot sector, and four partitions that are active or not. */
function isPartitionedDisk(head: Buffer): boolean {
  const isActiveOrNot = (at: number) => head[at] === 0 || head[at] === 0x80;
  return head.readUInt16LE(510) === 0xaa55 && [446, 462, 478, 494].every((at) => isActiveOrNot(at));
}
