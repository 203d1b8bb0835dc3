/**
 * Imported by tests of what a filesystem does: they have their files on a disk, also when those of
 * the others are in memory (`test-places.ts`).
 */
const disk = process.env['LBS_TEST_DISK'];
if (disk !== undefined) process.env['TMPDIR'] = disk;
