/**
 * Power cuts at every call of commands on real filesystems (`make power-cuts`, as root). Less of it:
 * LBS_CRASH=FILESYSTEM, FILESYSTEM:SCENARIO or FILESYSTEM:SCENARIO:STATE.
 */
import { join } from 'node:path';
import test from 'ava';
import type { Prepared } from '../helpers/crash-checks.ts';
import { prepare } from '../helpers/crash-points.ts';
import type { Scenario } from '../helpers/crash-scenario.ts';
import { SCENARIOS } from '../helpers/crash-scenarios.ts';
import { crashTop } from '../helpers/crash-worlds.ts';
import { CutDisk, FILESYSTEMS, type FilesystemName } from '../helpers/cut-disk.ts';
import { whyNoFaults } from '../helpers/faults.ts';
import { cutEverywhere } from '../helpers/real-power-cuts.ts';

const COMMANDS = [
  ...['first-backup', 'second-backup', 'two-stores-again', 'gc-listed', 'prune', 'sync'],
  ...['compact', 'rebuild', 'repair', 'restore', 'restore-undo'],
];
const [onlyType = '', onlyScenario = '', onlyState = ''] = (process.env['LBS_CRASH'] ?? '').split(
  ':',
);
const isAsked = (only: string, name: string) => only === '' || only === name;

const prepared = new Map<Scenario, Promise<Prepared>>();

function preparedOnce(scenario: Scenario): Promise<Prepared> {
  const known = prepared.get(scenario) ?? prepare(scenario);
  prepared.set(scenario, known);
  return known;
}

const types = Object.keys(FILESYSTEMS) as FilesystemName[];
for (const type of types.filter((name) => isAsked(onlyType, name))) {
  for (const scenario of SCENARIOS.filter(({ name }) => COMMANDS.includes(name))) {
    if (!isAsked(onlyScenario, scenario.name)) continue;
    test.serial(`${scenario.name} survives a power cut at every call on ${type}`, async (t) => {
      const why = whyNoFaults();
      if (why !== undefined) return t.pass(`left out: ${why}`);
      const disk = CutDisk.make(join(crashTop(), `${type}-${scenario.name}`), type);
      if (typeof disk === 'string') return t.pass(`left out: ${disk}`);
      t.timeout(3_600_000);
      const isWanted = (state: string) => isAsked(onlyState, state);
      const { cuts, states, problems } = await cutEverywhere(
        await preparedOnce(scenario),
        disk,
        isWanted,
      );
      const result = `${cuts} cuts, ${states} states of the disk, ${problems.length} problems`;
      console.error(`${type}: ${scenario.name}: ${result}`);
      for (const problem of problems) console.error(`${type}: ${problem}`);
      t.deepEqual(problems, []);
    });
  }
}
