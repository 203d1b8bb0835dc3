/** Tests that take minutes or gigabytes: `make test-slow`. */
export default {
  extensions: ['ts'],
  files: ['test/slow/**/*.ts'],
  workerThreads: false,
  concurrency: 1,
  timeout: '60m',
  failWithoutAssertions: true,
};
