/** Directories for temporary files: those of killed processes go, those of living ones stay. */
import { chownSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { ScratchDirectory } from '../../src/posix/scratch-directory.ts';
import { isRoot, ORDINARY_USER, tempDir } from '../helpers/temp-dir.ts';

test.serial(
  'what a killed process left is removed, and nothing that is in use or not ours',
  (t) => {
    const dir = tempDir(t);
    const before = process.env['TMPDIR'];
    process.env['TMPDIR'] = dir;
    t.teardown(() => {
      if (before === undefined) delete process.env['TMPDIR'];
      else process.env['TMPDIR'] = before;
    });
    const living = new ScratchDirectory('parity');
    writeFileSync(join(living.path, 'file'), 'in use');
    const make = (name: string) => {
      mkdirSync(join(dir, name));
      writeFileSync(join(dir, name, 'file'), '');
      return join(dir, name);
    };
    const killed = ['lbs-parity-abcdef', 'lbs-heal-ABCDEF', 'lbs-dry-run-123456'].map(make);
    const foreign = ['lbs-parity-long-name', 'lbs-spool-abcdef', 'parity-abcdef'].map(make);
    const outside = make('outside');
    symlinkSync(outside, join(dir, 'lbs-heal-linked'));
    if (isRoot) {
      const others = make('lbs-parity-others');
      chownSync(others, ORDINARY_USER, ORDINARY_USER);
      foreign.push(others);
    }
    const next = new ScratchDirectory('heal');
    for (const path of killed) t.false(existsSync(path), path);
    for (const path of [...foreign, join(outside, 'file'), living.path, next.path]) {
      t.true(existsSync(path), path);
    }
    living.close();
    next.close();
    t.false(existsSync(living.path));
    t.false(existsSync(next.path));
  },
);
