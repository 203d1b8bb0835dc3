/**
 * Who may do what with each file that a program makes, at every moment of its life: from its
 * creation to its last change of mode, as strace saw it.
 *
 * Run with the umask 0, under which everything has the mode that the program asked for; every other
 * umask takes rights away from what is made, and has no say in changes of modes.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What was done to a file; `mode` is what it has from then on. */
export type ModeEvent =
  { readonly did: 'made' | 'mode'; readonly mode: number } | { readonly did: 'owner' };

/** Words before the program: no umask, and all calls of that kind in the file `log`. */
export function tracingModes(log: string): string[] {
  const calls = [
    'open,openat,creat,mkdir,mkdirat,mknod,mknodat,chmod,fchmod,fchmodat,?fchmodat2,chown,lchown',
    'fchown,fchownat,rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir',
  ].join(',');
  const strace = ['strace', '-f', '-z', '-y', '-o', log, '-e', `trace=${calls}`];
  return ['sh', '-c', 'umask 0; exec "$@"', 'sh', ...strace];
}

/** `AT_FDCWD</cwd>, "name"`, `"/name"` or `5</path>`, one after the other. */
const PLACE = /(?:(?:AT_FDCWD|\d+)<([^>]*)>(?:\(deleted\))?(?:, )?)?(?:"((?:[^"\\]|\\.)*)")?/y;

type Places = { readonly paths: string[]; readonly rest: string };

/** `fds` are the paths of what is open. */
function placesOf(args: string, fds: ReadonlyMap<string, string>): Places {
  const paths: string[] = [];
  PLACE.lastIndex = 0;
  for (let end = 0; ;) {
    const [all = '', dir = '', name] = PLACE.exec(args) ?? [];
    if (all === '') return { paths, rest: args.slice(end) };
    const fd = /^\/proc\/self\/fd\/(\d+)$/.exec(name ?? '')?.[1];
    if (fd !== undefined) paths.push(fds.get(fd) ?? '');
    else if (name === undefined) paths.push(dir);
    else paths.push(name.startsWith('/') ? name : join(dir, name));
    end += all.length;
    if (/^, (?:AT_FDCWD<|\d+<|")/.test(args.slice(end))) end += 2;
    PLACE.lastIndex = end;
  }
}

const octal = (text: string | undefined) => parseInt(text ?? '0', 8);

/** What was done to each path; of one that has been renamed, under its last name. */
export class TracedModes {
  readonly files = new Map<string, ModeEvent[]>();

  /** Reads one log after the other: what an earlier run made is there. */
  read(log: string): void {
    const fds = new Map<string, string>();
    for (const line of readFileSync(log, 'latin1').split('\n')) {
      const [, call = '', args = '', fd = '', opened] =
        /^\d+ +(\w+)\((.*)\) += (\d+)(?:<(.*?)>(?:\(deleted\))?)?$/.exec(line) ?? [];
      if (opened !== undefined) fds.set(fd, opened);
      if (call !== '') this.#take(call, placesOf(args, fds), { args, opened });
    }
  }

  #take(
    call: string,
    { paths, rest }: Places,
    { args, opened: made }: { readonly args: string; readonly opened: string | undefined },
  ): void {
    const [path = '', other = ''] = paths;
    if (/^(?:open|creat)/.test(call)) {
      const mode = octal(/, (0\d*)$/.exec(args)?.[1]);
      // A file without a name is known by what the system calls it.
      if (args.includes('O_TMPFILE')) this.#make(made ?? path, mode);
      else if (args.includes('O_CREAT') && !this.files.has(path)) this.#make(path, mode);
    } else if (call.startsWith('mk')) this.#make(path, octal(/0\d+/.exec(rest)?.[0]) & 0o7777);
    else if (/chmod/.test(call))
      this.#did(path, { did: 'mode', mode: octal(/0\d*/.exec(rest)?.[0]) });
    else if (/chown/.test(call)) this.#did(path, { did: 'owner' });
    else if (call.startsWith('rename')) this.#move(path, other);
    else if (call.startsWith('link')) this.files.set(other, [...(this.files.get(path) ?? [])]);
    else this.#gone(path);
  }

  #make(path: string, mode: number): void {
    this.files.set(path, [{ did: 'made', mode }]);
  }

  #did(path: string, event: ModeEvent): void {
    this.files.get(path)?.push(event);
  }

  #move(from: string, to: string): void {
    const events = this.files.get(from);
    this.files.delete(from);
    if (events) this.files.set(to, events);
  }

  #gone(path: string): void {
    const events = this.files.get(path);
    this.files.delete(path);
    // Its life counts, and another one may get its name.
    if (events) this.files.set(`${path} (${this.files.size}, removed)`, events);
  }
}
