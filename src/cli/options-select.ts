/** The options that say what belongs to a backup: a part of the table in options. */
import { EXCLUDE, INCLUDE, type OptionGroup, type OptionSpec } from './option-groups.ts';

export const RULES: OptionSpec = {
  name: 'rules',
  value: 'FILE',
  repeatable: true,
  help: 'ask the rules in FILE about what is left in: "- *.o", "+ /home/*.c"; see lbs-rules(5)',
};

/** Files of rules, for every command that walks a tree by rules. */
export const RULE_FILES: readonly OptionSpec[] = [
  RULES,
  {
    name: 'dir-merge',
    value: 'NAME',
    repeatable: true,
    help: 'then those in the files NAME that lie in the tree, each for its directory',
  },
  {
    name: 'ignore-file',
    value: 'NAME',
    repeatable: true,
    help: 'then those in files NAME written as for git, as in --ignore-file=.gitignore',
  },
];

export const WHAT_TO_TAKE: OptionGroup = {
  title: 'What',
  options: [
    EXCLUDE,
    INCLUDE,
    ...RULE_FILES,
    {
      name: 'exclude-if-present',
      value: 'NAME',
      repeatable: true,
      help: 'leave out the contents of directories that hold an entry NAME',
    },
    {
      name: 'exclude-caches',
      negatable: true,
      help: 'leave out the contents of directories tagged by CACHEDIR.TAG',
    },
    {
      name: 'one-file-system',
      short: 'x',
      negatable: true,
      help: 'stay on the file systems of the PATHs',
    },
    {
      name: 'files-from',
      value: 'FILE',
      repeatable: true,
      help: 'take more PATHs from FILE, one a line; "-" is standard input',
    },
    {
      name: 'files-from0',
      value: 'FILE',
      repeatable: true,
      help: 'the same with a NUL byte after each PATH, as "find -print0" writes them',
    },
  ],
};
