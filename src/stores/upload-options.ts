/** How a store that an upload script fills is asked for: the library's and the CLI's contract. */

export const UPLOAD_PROTOCOLS = ['stream', 'call'] as const;
export type UploadProtocol = (typeof UPLOAD_PROTOCOLS)[number];

export type UploadOptions = {
  /** Shell command that takes the files. */
  readonly command: string;
  /** `stream` (default): started once, told of files on its standard input. `call`: once a file. */
  readonly protocol?: UploadProtocol;
  /** Where the staging directory is made; default: $TMPDIR, else /tmp. */
  readonly tmpdir?: string;
};
