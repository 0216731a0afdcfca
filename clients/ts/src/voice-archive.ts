/** Voices from files. */

import { create, fromJson, type JsonValue } from '@bufbuild/protobuf';
import { createClient, type Transport } from '@connectrpc/connect';
import type { Caller, CallOptions } from './call.js';
import { callErrorOf } from './errors.js';
import { bytesOf, type FileBytes } from './file-bytes.js';
import { VoiceSchema } from './gen/chatterbox/v1/voice_pb.js';
import {
  type ImportVoiceRequest,
  ImportVoiceRequestSchema,
  VoicesService,
} from './gen/chatterbox/v1/voices_service_pb.js';
import { restErrorOf } from './rest-error.js';
import { type Voice, voiceOf } from './voice.js';

export interface ImportFields {
  /** The id that the voice gets. Default: the id that it was exported from. */
  readonly id?: string | undefined;
  /** Declares that the speaker consents, for a file that holds no such declaration. */
  readonly consent?: boolean | undefined;
}

/** Makes a voice from a file of `export`; `conflict` if there is a voice of that id. */
export type ImportVoice = (
  archive: FileBytes,
  fields?: ImportFields,
  options?: CallOptions,
) => Promise<Voice>;

const PIECE_BYTES = 1_048_576;
const TIMEOUT_MS = 120_000;

/** By a stream of pieces, where the transport can send one. */
export function importOverGrpc(transport: Transport, caller: Caller): ImportVoice {
  const client = createClient(VoicesService, transport);
  return async (archive, fields = {}, options = {}) => {
    const pieces = piecesOf(await bytesOf(archive), fields);
    const call = { timeoutMs: TIMEOUT_MS, ...options };
    return voiceOf(await caller.ask((connect) => client.importVoice(pieces, connect), call));
  };
}

/** Over REST, as gRPC-Web sends no streams. */
export function importOverRest(baseUrl: string, caller: Caller): ImportVoice {
  return async (archive, { id = '', consent = false } = {}, options = {}) => {
    const query = new URLSearchParams({ voice_id: id, consent: String(consent) });
    const headers = new Headers((await caller.connectOptions(options)).headers);
    headers.set('content-type', 'application/zip');
    try {
      const answer = await fetch(`${baseUrl.replace(/\/$/, '')}/v1/voices:import?${query}`, {
        method: 'POST',
        headers,
        body: await bytesOf(archive),
        signal: options.signal ?? null,
      });
      const body: JsonValue = await answer.json();
      if (!answer.ok) throw restErrorOf(answer, body);
      return voiceOf(fromJson(VoiceSchema, body, { ignoreUnknownFields: true }));
    } catch (reason) {
      throw callErrorOf(reason, options.signal);
    }
  };
}

async function* piecesOf(
  bytes: Uint8Array<ArrayBuffer>,
  { id = '', consent = false }: ImportFields,
): AsyncGenerator<ImportVoiceRequest> {
  let fields = { voiceId: id, consent };
  let offset = 0;
  do {
    const data = bytes.subarray(offset, offset + PIECE_BYTES);
    yield create(ImportVoiceRequestSchema, { ...fields, archive: { data } });
    fields = { voiceId: '', consent: false }; // in the first message only
    offset += PIECE_BYTES;
  } while (offset < bytes.length);
}
