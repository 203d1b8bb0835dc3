/**
 * The small files: first backup, nothing changed, restores, one per cent changed, in rounds in
 * which all programs meet the same machine; then sizes, a renamed tree, and verification.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Bench, Words } from './bench.ts';
import { compareTrees } from './compare-trees.ts';
import { ROW, SECTION, type Section } from './goals.ts';
import { changeFiles, copyTree, filesIn, makeTree, storeBytes, treeSize } from './make-input.ts';
import { BORG, BUP, FIND_ALL, LBS, type Program, RESTIC, TAR } from './programs.ts';

const ALL: readonly Program[] = [LBS, TAR, RESTIC, BORG, BUP];
/** Sections in which what counts is to look at everything. */
const SCANS: ReadonlySet<Section> = new Set([SECTION.unchanged, SECTION.onePercent]);
const ONE_PER_CENT = 100;

export class TreeScenario {
  readonly #bench: Bench;
  readonly #tree: string;
  readonly #stores = new Map<Program, string>();
  readonly #compared = new Set<string>();
  #round = 0;
  #neededMemory = 0;

  constructor(bench: Bench) {
    this.#bench = bench;
    this.#tree = join(bench.dir, 'tree');
  }

  /** Makes the tree, and answers what it came to. */
  makeTree(): ReturnType<typeof treeSize> {
    const { settings } = this.#bench;
    mkdirSync(this.#tree);
    if (settings.treeFrom === undefined) makeTree(this.#tree, settings.sizes);
    else copyTree(settings.treeFrom, this.#tree);
    this.#bench.inputChanged();
    const size = treeSize(this.#tree);
    // Small files take a page each, and every entry some memory of the kernel.
    this.#neededMemory = size.bytes + size.entries * 5000;
    return size;
  }

  async run(): Promise<void> {
    // Read once, so that all find it in memory.
    await this.#bench.prepare('tar cf - tree | cat > /dev/null', this.#bench.dir);
    for (this.#round of this.#bench.rounds()) {
      await this.#bench.settle();
      await this.#firstBackups();
      await this.#nothingChanged();
      await this.#restoreAll(SECTION.restoreDisk, join(this.#bench.dir, 'restored'));
      await this.#restoreToTmpfs();
      await this.#restoreOne();
      await this.#onePercent();
    }
    await this.#rename();
    await this.#verify();
    this.#removeStores();
    this.#bench.remove(this.#tree);
  }

  /** Who takes part in this round, each time beginning with another one. */
  #programs(section: Section, among: readonly Program[], peerRounds?: number): Program[] {
    const { sizes } = this.#bench.settings;
    const here = this.#bench
      .present(section, among)
      .filter((program) => !program.isPeer || this.#round <= (peerRounds ?? sizes.peerRounds));
    const first = (this.#round - 1) % here.length;
    return [...here.slice(first), ...here.slice(0, first)];
  }

  #words(program: Program, name = 'first'): Words {
    return { STORE: this.#stores.get(program) ?? '', SOURCE: 'tree', NAME: name };
  }

  async #backup(section: Section, program: Program, name: string): Promise<boolean> {
    const words = this.#words(program, name);
    const command = { script: program.backup, cwd: this.#bench.dir, words };
    return (await this.#bench.sample(section, program.name, command)) !== undefined;
  }

  #removeStores(): void {
    for (const store of this.#stores.values()) this.#bench.removeStore(store);
    this.#stores.clear();
  }

  async #firstBackups(): Promise<void> {
    this.#removeStores();
    const { results } = this.#bench;
    // Rows come in the order in which they are first named.
    for (const { name } of ALL) results.row(SECTION.first, name);
    for (const program of this.#programs(SECTION.first, ALL)) {
      const store = await this.#bench.newStore(program);
      if (store === undefined) {
        results.row(SECTION.first, program.name).failed = true;
        continue;
      }
      this.#stores.set(program, store);
      // Without a first backup the rest would look fast.
      if (!(await this.#backup(SECTION.first, program, 'first'))) this.#stores.delete(program);
    }
    if (this.#round > 1) return;
    const sizes = ALL.map((program) => {
      const store = this.#stores.get(program);
      return { program, bytes: store === undefined ? undefined : storeBytes(store) };
    });
    for (const { program, bytes } of sizes) {
      if (bytes !== undefined) results.figure(SECTION.store, program.name, bytes, 'B');
    }
    const [ours, reference] = sizes;
    if (ours?.bytes !== undefined && reference?.bytes !== undefined) {
      results.figure(SECTION.store, ROW.storeShare, ours.bytes / reference.bytes, 'x');
    }
  }

  /** Programs of this round whose first backup worked. */
  #withStore(section: Section, among: readonly Program[], peerRounds?: number): Program[] {
    for (const { name } of among) {
      this.#bench.results.row(section, name);
      // The reference of a scan stands below lbs, as the one of a backup does.
      if (name === LBS.name && SCANS.has(section)) this.#bench.results.row(section, ROW.find);
    }
    const here = this.#programs(section, among, peerRounds);
    for (const program of here.filter((one) => !this.#stores.has(one))) {
      this.#bench.results.row(section, program.name).failed = true;
    }
    return here.filter((program) => this.#stores.has(program));
  }

  async #find(section: Section): Promise<void> {
    const words = { SOURCE: 'tree' };
    const command = { script: FIND_ALL, cwd: this.#bench.dir, words, onlyReads: true } as const;
    await this.#bench.sample(section, ROW.find, command);
  }

  async #nothingChanged(): Promise<void> {
    const section = SECTION.unchanged;
    const programs = this.#withStore(section, [LBS, RESTIC, BORG, BUP]);
    await this.#find(section);
    for (const program of programs) {
      const store = this.#stores.get(program) ?? '';
      const before = this.#round === 1 ? storeBytes(store) : 0;
      const listsBefore = this.#round === 1 && program === LBS ? listBytes(store) : 0;
      if (!(await this.#backup(section, program, 'unchanged')) || this.#round > 1) continue;
      const added = storeBytes(store) - before;
      const { results } = this.#bench;
      results.figure(section, program.name, added, 'B');
      if (program !== LBS) continue;
      results.figure(section, ROW.besideLists, added - (listBytes(store) - listsBefore), 'B');
    }
  }

  async #restoreAll(section: Section, into: string): Promise<void> {
    const { peerRestoreRounds } = this.#bench.settings.sizes;
    for (const program of this.#withStore(section, [LBS, TAR, RESTIC, BORG], peerRestoreRounds)) {
      const target = join(into, 'target');
      mkdirSync(target);
      const words = { ...this.#words(program, 'first'), TARGET: target };
      const command = { script: program.restore, cwd: this.#bench.dir, words };
      const usage = await this.#bench.sample(section, program.name, command);
      if (usage && !this.#compared.has(`${section} ${program.name}`)) {
        this.#compared.add(`${section} ${program.name}`);
        const difference = compareTrees(this.#tree, join(target, 'tree'));
        if (difference !== '') {
          this.#bench.results.row(section, program.name).failed = true;
          this.#bench.fail(`${section}: ${program.name}: not what was saved:\n${difference}`);
        }
      }
      this.#bench.remove(target);
    }
  }

  async #restoreToTmpfs(): Promise<void> {
    const section = SECTION.restoreTmpfs;
    const { tmpfs, results } = this.#bench;
    if ('lacking' in tmpfs) results.note(section, LBS.name, tmpfs.lacking);
    else if (this.#neededMemory > tmpfs.size) {
      results.note(section, LBS.name, 'left out: too little free memory');
    } else await this.#restoreAll(section, tmpfs.dir);
  }

  async #restoreOne(): Promise<void> {
    const section = SECTION.restoreOne;
    const small = filesIn(this.#tree).filter(
      ({ path, sizeBytes }) =>
        sizeBytes > 1000 && sizeBytes < 20_000 && /^[\w./-]+$/.test(path.toString('latin1')),
    );
    // From the middle, as good as another.
    const file = small[Math.floor(small.length / 2)];
    if (file === undefined) {
      this.#bench.results.note(section, LBS.name, 'left out: the tree has no small file');
      return;
    }
    const inside = join('tree', file.path.toString());
    for (const program of this.#withStore(section, [LBS, RESTIC, BORG])) {
      const target = join(this.#bench.dir, 'restored', 'one');
      mkdirSync(target);
      const words = { ...this.#words(program, 'first'), TARGET: target, INSIDE: inside };
      const command = { script: program.restoreOne ?? 'false', cwd: this.#bench.dir, words };
      const usage = await this.#bench.sample(section, program.name, command);
      if (usage) this.#checkOne(program, inside, target);
      this.#bench.remove(target);
    }
  }

  #checkOne(program: Program, inside: string, target: string): void {
    if (program === LBS) {
      const read = Number(/"segments_read":(\d+)/.exec(this.#bench.lastOutput())?.[1] ?? NaN);
      this.#bench.results.figure(SECTION.restoreOne, ROW.segmentsRead, read, '');
    }
    const [saved, restored] = [this.#bench.dir, target].map((dir) =>
      readFileSync(join(dir, inside)),
    );
    if (saved && restored && saved.equals(restored)) return;
    this.#bench.results.row(SECTION.restoreOne, program.name).failed = true;
    this.#bench.fail(`${program.name}: the one file is not what was saved: ${inside}`);
  }

  async #onePercent(): Promise<void> {
    const section = SECTION.onePercent;
    const programs = this.#withStore(section, [LBS, RESTIC, BORG, BUP]);
    const changed = changeFiles(this.#tree, ONE_PER_CENT, this.#round);
    this.#bench.inputChanged();
    const list = join(this.#bench.dir, 'changed');
    writeFileSync(list, Buffer.concat(changed.flatMap((path) => [path, Buffer.from([0])])));
    await this.#find(section);
    await this.#bench.sample(section, ROW.tarOfChanged, {
      script: 'tar cf - -C tree --null -T changed | zstd -q -3 -T0 > changed.zst; sync changed.zst',
      cwd: this.#bench.dir,
    });
    for (const program of programs) await this.#backup(section, program, 'changed');
    const { results } = this.#bench;
    const [ours, find, tar] = [LBS.name, ROW.find, ROW.tarOfChanged].map((name) =>
      results.wall(section, name),
    );
    if (ours === undefined || find === undefined || tar === undefined) return;
    results.figure(section, ROW.onePercentShare, ours / (3 * find + tar), 'x');
  }

  async #rename(): Promise<void> {
    const name = readdirSync(this.#tree).toSorted()[0];
    const store = this.#stores.get(LBS);
    if (name === undefined || store === undefined) return;
    const old = join(this.#tree, name);
    const renamed = statSync(old).isDirectory() ? treeSize(old).entries + 1 : 1;
    const before = storeBytes(store) - listBytes(store);
    renameSync(old, `${old}-renamed`);
    const words = this.#words(LBS);
    if (!(await this.#bench.prepare(LBS.backup, this.#bench.dir, words))) return;
    const added = storeBytes(store) - listBytes(store) - before;
    this.#bench.results.figure(SECTION.blocks, ROW.renamed, added / renamed, 'B');
    this.#bench.results.note(SECTION.blocks, ROW.renamed, `${renamed} entries`);
  }

  /** Of a store with some snapshots of the whole tree. */
  async #verify(): Promise<void> {
    const section = SECTION.verify;
    const words = { ...this.#words(LBS), CORES: String(availableParallelism()) };
    if (!this.#stores.has(LBS)) return;
    const commands: [string, string][] = [
      [ROW.verifyData, '"$LBS" verify --data --store="$STORE"'],
      [ROW.verifyReference, 'ls "$STORE"/*.tar.zst | xargs -P "$CORES" -n 8 zstd -dc > /dev/null'],
      [ROW.verifyChecksums, '"$LBS" verify --store="$STORE"'],
      [ROW.ls, '"$LBS" ls --store="$STORE" latest > /dev/null'],
    ];
    for (const _ of this.#bench.rounds()) {
      for (const [name, script] of commands) {
        const command = { script, cwd: this.#bench.dir, words, onlyReads: true } as const;
        await this.#bench.sample(section, name, command);
      }
    }
  }
}

/** Bytes of a store of lbs that are lists of segments: in descriptors, and as checksums files. */
function listBytes(store: string): number {
  const sizes = readdirSync(store).map((name) => {
    const path = join(store, name);
    if (/\.sha(1|256)sums$/.test(name)) return statSync(path).size;
    if (!name.endsWith('.lbs')) return 0;
    const lines = readFileSync(path, 'latin1').split('\n');
    return lines
      .filter((line) => line.startsWith('    '))
      .reduce((n, line) => n + line.length + 1, 0);
  });
  return sizes.reduce((sum, size) => sum + size, 0);
}
