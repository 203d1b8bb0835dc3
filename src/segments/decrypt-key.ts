/**
 * The secret keys of `--decrypt-key`: what the session key of an encrypted segment is found with.
 *
 * The file is read, and a passphrase asked for, when the first encrypted segment is met, and once.
 * Helper threads get session keys, one for each segment, and no secret keys. Called by unfilter.
 *
 * Invariant: nothing of a passphrase or a secret key reaches a message or another program.
 */
import type * as OpenPgp from 'openpgp';
import { LbsError, messageOf } from '../errors.ts';
import { showText } from '../std/byte-path.ts';
import { type KeyLibrary, keyLabel, readKeys } from '../std/key-file.ts';
import { loadOpenPgp } from '../std/load-openpgp.ts';
import { type Passphrase, passphraseFor } from '../std/secret.ts';
import type { OpenFile } from '../stores/store.ts';
import { type SessionKey, sessionPackets } from './decrypt-segment.ts';

/** Finds the key of one file. @throws {LbsError} decryption-key, segment-corrupt, filter-missing */
export type FindSessionKey = (file: OpenFile) => Promise<SessionKey>;

type Opened = {
  readonly library: KeyLibrary;
  readonly keys: readonly OpenPgp.PrivateKey[];
  /** Labels of keys that stayed locked, and why. */
  readonly locked: ReadonlyMap<string, LbsError>;
};

export class DecryptKey {
  readonly #file: string;
  readonly #env: NodeJS.ProcessEnv;
  #opened: Promise<Opened> | undefined;
  #passphrase: Promise<Passphrase | undefined> | undefined;

  /** `file` has secret keys; the LBS_DECRYPT_PASSPHRASE variables of `env` unlock protected ones. */
  constructor(file: string, env: NodeJS.ProcessEnv = process.env) {
    this.#file = file;
    this.#env = env;
  }

  /** The session key of an encrypted file. Usable without its object. */
  readonly find: FindSessionKey = async (file) => {
    const packets = sessionPackets(file);
    if (packets.length === 0) {
      throw new LbsError('decryption-key', 'it is encrypted with a passphrase, and to no key', {
        hint: 'nothing is damaged: leave out --decrypt-key, and gpg asks for the passphrase',
      });
    }
    const { library, keys, locked } = await (this.#opened ??= this.#open());
    const message = await readMessage(library, packets);
    const ids = message.getEncryptionKeyIDs();
    const lockedFor = [...locked].find(([id]) => ids.some((wanted) => wanted.toHex() === id));
    let found: { data: Uint8Array; algorithm: string | null }[];
    try {
      found = await library.decryptSessionKeys({ message, decryptionKeys: [...keys] });
    } catch (error) {
      throw lockedFor?.[1] ?? this.#notFor(ids, keys, error);
    }
    const [only] = found;
    // Two that open are no mistake of anybody: one of them would be tried to see what happens.
    if (only === undefined || found.length > 1) {
      throw new LbsError('segment-corrupt', 'the encrypted message has several session keys');
    }
    return { algorithm: only.algorithm ?? '', key: only.data };
  };

  #notFor(
    ids: readonly OpenPgp.KeyID[],
    keys: readonly OpenPgp.PrivateKey[],
    error: unknown,
  ): LbsError {
    const file = showText(this.#file);
    const isOurs = (id: OpenPgp.KeyID) => keys.some((key) => key.getKeys(id).length > 0);
    if (ids.some((id) => !isHidden(id) && isOurs(id))) {
      return new LbsError(
        'decryption-key',
        `the session key cannot be decrypted with ${file}: ${messageOf(error)}`,
        { cause: error },
      );
    }
    const wanted = ids.map((id) => (isHidden(id) ? 'hidden' : id.toHex().toUpperCase()));
    const needed = [...new Set(wanted)].join(', ');
    const here = keys.map(keyLabel).join(', ');
    return new LbsError(
      'decryption-key',
      `it is encrypted to ${needed}; ${file} has the key ${here}`,
      { cause: error, hint: 'nothing is damaged: give the file with that secret key' },
    );
  }

  async #open(): Promise<Opened> {
    const library = await loadOpenPgp();
    const file = showText(this.#file);
    const hint = `write the secret key with: gpg --armor --export-secret-keys KEY > ${file}`;
    const all = await readKeys(library, this.#file, { code: 'decryption-key', hint });
    const secret = all.filter((key) => key.isPrivate());
    if (secret.length === 0) {
      const message = `there is no secret key in ${file}, only public ones`;
      throw new LbsError('decryption-key', message, { hint });
    }
    const keys: OpenPgp.PrivateKey[] = [];
    const locked = new Map<string, LbsError>();
    for (const key of secret) {
      const unlocked = await this.#unlocked(library, key);
      if (!(unlocked instanceof LbsError)) keys.push(unlocked);
      else for (const id of key.getKeyIDs()) locked.set(id.toHex(), unlocked);
    }
    const [why] = locked.values();
    if (keys.length === 0 && why !== undefined) throw why;
    return { library, keys, locked };
  }

  /** The key, usable; or why it is not. */
  async #unlocked(
    library: KeyLibrary,
    key: OpenPgp.PrivateKey,
  ): Promise<OpenPgp.PrivateKey | LbsError> {
    if (!key.getKeys().some(({ keyPacket }) => isLocked(keyPacket))) return key;
    const file = showText(this.#file);
    const passphrase = await (this.#passphrase ??= passphraseFor('DECRYPT', this.#env));
    if (passphrase === undefined) {
      return new LbsError(
        'decryption-key',
        `the key ${keyLabel(key)} in ${file} is protected by a passphrase, and none was given`,
        {
          hint: 'set LBS_DECRYPT_PASSPHRASE_FILE, LBS_DECRYPT_PASSPHRASE_COMMAND or LBS_DECRYPT_PASSPHRASE in the environment',
        },
      );
    }
    try {
      return await library.decryptKey({ privateKey: key, passphrase: passphrase.value });
    } catch (error) {
      // The library's words and cause are left out: nothing of a passphrase may reach a message.
      const isWrong = /passphrase/i.test(messageOf(error));
      const { variable } = passphrase;
      return new LbsError(
        'decryption-key',
        isWrong
          ? `the passphrase from ${variable} does not unlock the key ${keyLabel(key)} in ${file}`
          : `the key ${keyLabel(key)} in ${file} cannot be unlocked`,
      );
    }
  }
}

/** gpg's --throw-keyids says nothing of the recipients. */
const isHidden = (id: OpenPgp.KeyID): boolean => /^0+$/.test(id.toHex());

/** Not so for one that was left out of the file, as gpg does with `--export-secret-subkeys`. */
function isLocked(packet: OpenPgp.Key['keyPacket'] | OpenPgp.Subkey['keyPacket']): boolean {
  return 'isDummy' in packet && !packet.isDummy() && packet.isDecrypted() === false;
}

async function readMessage(
  library: KeyLibrary,
  packets: Buffer,
): Promise<OpenPgp.Message<Uint8Array>> {
  try {
    return await library.readMessage({ binaryMessage: new Uint8Array(packets) });
  } catch (error) {
    throw new LbsError('segment-corrupt', `the encrypted message is damaged: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
