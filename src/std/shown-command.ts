/**
 * A shell command in a message: by its program, and without the rest, which may hold a passphrase
 * that must not get into logs and mails. Who has written the command knows which one it is.
 */

/** A word that is a program: not an assignment, nothing quoted, and no group of commands. */
const PROGRAM = /^[\w./+@%~-]+$/;
/** An option in which there is no room for a secret: `-c`, `-19`. */
const SHORT_OPTION = /^-[A-Za-z0-9]{1,2}$/;

/** `gpg ...` for `gpg --encrypt -r me`, `zstd -19` for itself; `...` where no program comes first. */
export function shownCommand(command: string): string {
  const words = command.trim().split(/\s+/);
  const count = words[0] === 'exec' ? 2 : 1;
  const rest = words.slice(count);
  if (!words.slice(0, count).every((word) => PROGRAM.test(word))) return '...';
  const isHarmless = rest.every((word) => SHORT_OPTION.test(word));
  return [...words.slice(0, count), ...(isHarmless ? rest : ['...'])].join(' ');
}

/**
 * What a command said, without lines of the command itself: some shells quote those that they do not
 * understand.
 */
export function withoutCommand(said: string, command: string): string {
  const lines = command.split('\n').map((line) => line.trim());
  return lines
    .filter((line) => /\s/.test(line))
    .reduce((text, line) => text.replaceAll(line, () => shownCommand(line)), said);
}
