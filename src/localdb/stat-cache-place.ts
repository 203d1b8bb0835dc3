/** File names of stat caches: one per scheme, beside the local database. */
import { join } from 'node:path';

export function statCacheFile(directory: string, scheme: string | undefined): string {
  return join(directory, scheme === undefined ? 'lbs-statcache' : `lbs-statcache-${scheme}`);
}
