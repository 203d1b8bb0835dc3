/** What the passes of a restore share: made once by restore.ts, closed by it. */
import type { RestoreLedger } from './restore-ledger.ts';
import type { RestoreTally } from './restore-tally.ts';
import type { FileMaker } from './write-file.ts';

export type RestoreStages = {
  readonly ledger: RestoreLedger;
  readonly tally: RestoreTally;
  readonly maker: FileMaker;
};
