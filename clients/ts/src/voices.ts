/** The voices of an installation. */

import { createClient, type Transport } from '@connectrpc/connect';
import type { Caller, CallOptions } from './call.js';
import { callErrorOf } from './errors.js';
import { bytesOf, type FileBytes, joinBytes } from './file-bytes.js';
import { VoicesService } from './gen/chatterbox/v1/voices_service_pb.js';
import { resourceName } from './names.js';
import { allPages } from './pages.js';
import { type Voice, type VoiceFields, voiceOf, wireFields } from './voice.js';
import type { ImportVoice } from './voice-archive.js';

/** A voice to be made from a recording. */
export interface NewVoice extends VoiceFields {
  /** 1 to 63 lower-case letters, digits and hyphens, first a letter, last no hyphen. */
  readonly id: string;
  /** 3 to 30 s of one person: WAV, MP3, FLAC, Ogg, M4A or WebM, at most 12 MiB. */
  readonly recording: FileBytes;
  /** You declare that the person who speaks consents to a copy of their voice, or is you. */
  readonly consent: boolean;
}

/** Tells which voices there are, and makes, changes and removes them. */
export interface Voices {
  /** All voices, in the order of their names. */
  list(options?: CallOptions): Promise<Voice[]>;
  /** One voice, by name or id; `not-found` if there is none. */
  get(nameOrId: string, options?: CallOptions): Promise<Voice>;
  /**
   * Makes a voice. A recording that no good voice can be made from is `invalid`, with a `reason`
   * such as `TOO_SHORT` and a message that says what to record instead; an id that is taken is a
   * `conflict`.
   */
  create(voice: NewVoice, options?: CallOptions): Promise<Voice>;
  /** What `create` would answer, without making a voice. */
  check(voice: NewVoice, options?: CallOptions): Promise<Voice>;
  /** Changes what is told of a voice; what is left out stays. `conflict` if it is read-only. */
  update(nameOrId: string, fields: VoiceFields, options?: CallOptions): Promise<Voice>;
  /** Deletes a voice and its recording. `conflict` if it is read-only. */
  delete(nameOrId: string, options?: CallOptions): Promise<void>;
  /** A voice as one file, a ZIP archive. */
  export(nameOrId: string, options?: CallOptions): Promise<Uint8Array<ArrayBuffer>>;
  readonly import: ImportVoice;
}

const CLONING_TIMEOUT_MS = 120_000; // a recording is decoded, judged and embedded

export function createVoices(
  transport: Transport,
  caller: Caller,
  importVoice: ImportVoice,
): Voices {
  const client = createClient(VoicesService, transport);
  const nameOf = (nameOrId: string): string => resourceName('voices', nameOrId);

  async function make(voice: NewVoice, validateOnly: boolean, options: CallOptions = {}) {
    const request = { ...(await creation(voice)), validateOnly };
    const call = { timeoutMs: CLONING_TIMEOUT_MS, ...options };
    return voiceOf(await caller.ask((connect) => client.createVoice(request, connect), call));
  }

  return {
    list: (options) =>
      allPages(
        (page) => caller.ask((connect) => client.listVoices(page, connect), options),
        (page) => page.voices.map(voiceOf),
      ),
    get: async (nameOrId, options) => {
      const request = { name: nameOf(nameOrId) };
      return voiceOf(await caller.ask((connect) => client.getVoice(request, connect), options));
    },
    create: (voice, options) => make(voice, false, options),
    check: (voice, options) => make(voice, true, options),
    update: async (nameOrId, fields, options) => {
      const wire = wireFields(fields);
      const updateMask = { paths: Object.keys(wire).map(snakeCase) };
      const request = { voice: { ...wire, name: nameOf(nameOrId) }, updateMask };
      return voiceOf(await caller.ask((connect) => client.updateVoice(request, connect), options));
    },
    delete: async (nameOrId, options) => {
      const request = { name: nameOf(nameOrId) };
      await caller.ask((connect) => client.deleteVoice(request, connect), options);
    },
    export: async (nameOrId, options = {}) => {
      const request = { name: nameOf(nameOrId) };
      const pieces: Uint8Array[] = [];
      try {
        const connect = await caller.connectOptions(options);
        for await (const { data } of client.exportVoice(request, connect)) pieces.push(data);
      } catch (reason) {
        throw callErrorOf(reason, options.signal);
      }
      return joinBytes(pieces);
    },
    import: importVoice,
  };
}

async function creation({ id, recording, consent, ...fields }: NewVoice) {
  return { voiceId: id, voice: wireFields(fields), audio: await bytesOf(recording), consent };
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
