/** The program's version, from package.json. */
import { readFileSync } from 'node:fs';

function read(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const found: unknown = JSON.parse(text);
  const isObject = typeof found === 'object' && found !== null && 'version' in found;
  return isObject && typeof found.version === 'string' ? found.version : '0';
}

export const VERSION = read();
