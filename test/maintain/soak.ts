/** Ninety nights of backup and prune; years of them: test/slow/soak.ts, `make test-soak`. */
import test from 'ava';
import { bytesIn, Soak } from '../helpers/soak.ts';

test('after 90 nights all that is kept is whole, and takes no more room than it must', async (t) => {
  t.timeout(400_000);
  const soak = new Soak(t);
  for (let night = 0; night < 90; night++) await soak.live();
  t.true((await soak.checkSnapshots()) >= 8);
  const ratio = bytesIn(soak.at.store) / (await soak.idealBytes());
  t.log(`${ratio.toFixed(3)} times the ideal; ${soak.middleCpuMs(10, 20).toFixed(0)} ms a night`);
  t.true(ratio < 1.25, `${ratio} times the ideal`);
});
