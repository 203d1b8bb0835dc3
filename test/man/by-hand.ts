/**
 * The promise of the README: a store made by lbs is restored with tar, zstd and a shell script
 * that is printed there. The script is taken out of the README and run, so it cannot grow old.
 */
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { PROJECT, lbsOk } from '../helpers/run-lbs.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const MIB = 1024 * 1024;

/** The one block of the README that is a bash script. */
function script(): string {
  const readme = readFileSync(join(PROJECT, 'README.md'), 'utf8');
  const found = /^```bash\n(#!\/bin\/bash\n[^]*?)^```$/m.exec(readme)?.[1];
  if (found === undefined) throw new Error('the README has no script');
  return found;
}

function run(command: string, cwd: string): string {
  const { status, stdout, stderr } = spawnSync('/bin/bash', ['-c', command], {
    cwd,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  if (status !== 0) throw new Error(`${command}: exit ${status}\n${stdout}${stderr}`);
  return stdout + stderr;
}

function makeTree(top: string): void {
  mkdirSync(join(top, 'letters', 'empty directory'), { recursive: true });
  writeFileSync(join(top, 'letters', 'bea'), 'Dear Bea\n', { mode: 0o640 });
  writeFileSync(join(top, 'empty'), '');
  writeFileSync(join(top, 'large'), pseudoRandom('by hand', 3 * MIB + 17));
  writeFileSync(join(top, 'zeros'), Buffer.alloc(2 * MIB + 5));
  truncateSync(join(top, 'zeros'), 4 * MIB);
  const names = [
    '-n',
    ' blank ',
    'new\nline\n',
    'per%cent',
    'back\\slash\\x41',
    '@at',
    '*',
    "it's",
    'é',
  ];
  for (const name of names) writeFileSync(join(top, 'letters', name), name);
  writeFileSync(
    Buffer.concat([Buffer.from(join(top, 'letters/')), Buffer.from([0xff, 0x0a, 0x80])]),
    'x',
  );
  linkSync(join(top, 'large'), join(top, 'letters', 'same'));
  symlinkSync('letters/bea', join(top, 'link'));
  symlinkSync('-n new\nline', join(top, 'letters', 'odd link'));
  for (let at = 0; at < 500; at++) writeFileSync(join(top, `file ${at}`), `number ${at}\n`);
  utimesSync(join(top, 'letters', 'bea'), 981173106.5, 981173106.123);
}

/** Type, mode, time, size, name and target of everything, and the bytes of every file. */
function stateOf(top: string): string {
  const list = "find . -printf '%y %m %T@ %P %l\\0' | sort -z | tr '\\0' '\\n'";
  const sums = 'find . -type f -print0 | sort -z | xargs -0 sha256sum --';
  return run(`export LC_ALL=C; ${list}; ${sums}`, top);
}

test('snapshots are restored with tar, zstd and the script in the README', async (t) => {
  const place = tempDir(t);
  const [tree, store] = [join(place, 'tree'), join(place, 'store')];
  mkdirSync(tree);
  mkdirSync(store);
  makeTree(tree);
  const backup = () => lbsOk(t, [`--dest=${store}`, `--localdb=${place}/db`, '.'], { cwd: tree });
  await backup();
  appendFileSync(join(tree, 'letters', 'bea'), 'P.S.\n');
  writeFileSync(join(tree, 'file 250b'), 'between\n');
  const expected = stateOf(tree);
  // The second snapshot refers to stretches of the first one's metadata.
  await backup();
  const descriptor = readdirSync(store)
    .filter((name) => name.endsWith('.lbs'))
    .sort()
    .at(-1);
  const objects = join(place, 'objects');
  mkdirSync(objects);
  writeFileSync(join(place, 'by-hand.sh'), script());
  run(`sha256sum -c --quiet ${descriptor?.replace('.lbs', '.sha256sums')}`, store);
  run(
    `for s in $(sed -n 's/^    //p' ../store/${descriptor}); do zstd -dc ../store/$s.tar.zst | tar xf - || exit 1; done`,
    objects,
  );
  const metadata = run(`bash ../by-hand.sh ../store/${descriptor}`, objects);
  t.regex(metadata, /^name: \.\n/);
  t.is(metadata.match(/^name: letters\/bea$/gm)?.length, 1);
  const said = run(`bash ../by-hand.sh ../store/${descriptor} ../back`, objects);
  t.is(said, '');
  t.is(stateOf(join(place, 'back')), expected);
});
