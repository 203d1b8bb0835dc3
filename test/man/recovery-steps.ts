/** The steps BY HAND of lbs-recovery(7), run as they are printed there. */
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { backupOptions, places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { PROJECT, lbsOk } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';

const MIB = 1 << 20;

/** The commands of the section, as a reader of the page sees them. */
function steps(): string {
  const page = readFileSync(join(PROJECT, 'man', 'lbs-recovery.7'), 'utf8');
  const section = /^\.Sh BY HAND\n([^]*?)^\.Sh /m.exec(page)?.[1] ?? '';
  const blocks = [...section.matchAll(/^\.Bd .*\n([^]*?)^\.Ed$/gm)].map((found) => found[1] ?? '');
  return blocks.join('').replaceAll('\\e', '\\').replaceAll('\\&', '');
}

for (const shell of ['sh', 'bash']) {
  test(`a file comes back by the steps of the page in ${shell}`, async (t) => {
    const at = places(t);
    makeFiles(at.tree, {
      'home/ann/letter': Buffer.concat([
        pseudoRandom('letter', 2 * MIB + 17),
        Buffer.alloc(3 * MIB),
        Buffer.from('the end'),
      ]),
      'home/ann/letters': 'others',
      'home/annx/letter': 'not this',
    });
    for (let n = 0; n < 300; n++) makeFiles(at.tree, { [`home/file ${n}`]: `number ${n}\n` });
    const backup = () => lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
    await backup();
    // So that the second snapshot refers to stretches of the first one's metadata.
    writeFileSync(join(at.tree, 'home', 'file 100b'), 'between\n');
    await backup();
    const name = readdirSync(at.store).filter((file) => file.endsWith('.lbs')).sort().at(-1); // prettier-ignore
    const script = steps()
      .replaceAll('/mnt/backup', at.store)
      .replaceAll('/tmp/objects', join(at.base, 'objects'))
      .replaceAll('snapshot-20261120T091421', name?.replace('.lbs', '') ?? '');
    const run = spawnSync(shell, ['-e', '-c', script], {
      encoding: 'utf8',
      env: { PATH: process.env['PATH'], LC_ALL: 'C' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    t.is(run.status, 0, run.stderr);
    t.is(run.stderr, '');
    t.is(run.stdout, 'name: home/ann/letter\nname: home/ann/letters\nname: home/annx/letter\nletter: OK\n'); // prettier-ignore
    const letter = readFileSync(join(at.base, 'objects', 'letter'));
    t.true(letter.equals(readFileSync(join(at.tree, 'home', 'ann', 'letter'))));
    const log = readFileSync(join(at.base, 'objects', 'log'), 'utf8');
    t.is(log.match(/^name: /gm)?.length, 308);
  });
}
