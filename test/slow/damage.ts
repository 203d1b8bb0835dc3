/**
 * The whole matrix of damages: every file of stores of each kind, in every way of damage-ways.ts.
 * Prints how many points were tried: `make test-damage`. A sample of them is in test/cli/damage-matrix.ts.
 */
import test, { type ExecutionContext } from 'ava';
import { type MatrixSettings, inProcess, judge, matrixStore } from '../helpers/damage-matrix.ts';
import { harmsOf, kindOf } from '../helpers/damage-ways.ts';
import { gpgHome } from '../helpers/gpg-home.ts';

async function tryAll(
  t: ExecutionContext,
  options: readonly string[],
  { settings = {}, flips = 24 }: { settings?: MatrixSettings; flips?: number } = {},
): Promise<void> {
  t.timeout(3_600_000);
  const at = await matrixStore(t, options, settings);
  const points = new Map<string, number>();
  const failures: string[] = [];
  const only = process.env['LBS_DAMAGE_ONLY'];
  for (const file of at.files) {
    for (const harm of harmsOf(at.store, file, at.files, flips)) {
      if (only !== undefined && !harm.how.includes(only)) continue;
      const kind = kindOf(file) ?? '';
      points.set(kind, (points.get(kind) ?? 0) + 1);
      const wrong = await judge(at, { file, harm }, inProcess);
      for (const one of wrong) {
        failures.push(`${file}: ${harm.how}: ${one}`);
      }
    }
  }
  const total = [...points.values()].reduce((sum, count) => sum + count, 0);
  const counts = [...points].map(([kind, count]) => `${count} of ${kind}`).join(', ');
  t.log(`${total} points (${counts}), ${failures.length} failures`);
  t.deepEqual(failures, []);
}

for (const filter of ['zstd -c', 'gzip -c', 'bzip2 -c', 'cat']) {
  test(`every damage to a store through "${filter}" is found, named and confined`, async (t) => {
    await tryAll(t, [`--filter=${filter}`]);
  });
}

test('every damage to a store with small frames of metadata is found, named and confined', async (t) => {
  await tryAll(t, ['--full-metadata']);
});

test('every damage to a signed store is found, named and confined', async (t) => {
  const key = gpgHome(t);
  const settings = { verifyKey: key.publicKey };
  await tryAll(t, [`--sign-key=${key.secretKey}`], { settings });
});

test('every damage to a store encrypted by lbs is found, named and confined', async (t) => {
  const key = gpgHome(t);
  const settings = { decryptKey: key.secretKey };
  await tryAll(t, [`--encrypt-to=${key.publicKey}`], { settings });
});

test('every damage to an encrypted store is found, named and confined', async (t) => {
  const key = gpgHome(t);
  process.env['GNUPGHOME'] = key.dir;
  const filter = `--filter=gpg --batch --quiet --encrypt --trust-model always -r ${key.user}`;
  await tryAll(t, [filter], { settings: { env: { ...key.env } }, flips: 2 });
});
