/** Whole sound files, in any format that the server writes. */

import { createClient, type Transport } from '@connectrpc/connect';
import type { Caller, CallOptions } from './call.js';
import { callErrorOf, failure } from './errors.js';
import { joinBytes } from './file-bytes.js';
import {
  AudioEncoding,
  type StreamingSynthesizeResponse,
} from './gen/chatterbox/v1/synthesis_pb.js';
import { TextToSpeechService } from './gen/chatterbox/v1/text_to_speech_service_pb.js';
import { samplesOf } from './pcm.js';
import { startedOf, warningOf } from './sound-messages.js';
import type { SoundStarted, SoundWarning } from './sound-stream.js';
import { type SpeakRequest, synthesizeRequest } from './speak-request.js';
import { type SpeechSummary, summaryOf } from './speech.js';
import { encodeWav } from './wav.js';

/** A format of sound files. `mulaw` and `alaw` have no header: telephones want nothing else. */
export type SoundFormat = 'wav' | 'mp3' | 'opus' | 'flac' | 'mulaw' | 'alaw';

/** Speech as a sound file. */
export interface RenderedSpeech {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** For a `Blob`: `audio/mpeg`. */
  readonly mediaType: string;
  readonly started: SoundStarted;
  readonly summary: SpeechSummary;
  readonly warnings: readonly SoundWarning[];
}

/** The server's WAV header does not know the length, so that one is written here. */
const FORMATS: Readonly<Record<SoundFormat, readonly [AudioEncoding, string]>> = {
  wav: [AudioEncoding.PCM, 'audio/wav'],
  mp3: [AudioEncoding.MP3, 'audio/mpeg'],
  opus: [AudioEncoding.OGG_OPUS, 'audio/ogg'],
  flac: [AudioEncoding.FLAC, 'audio/flac'],
  mulaw: [AudioEncoding.MULAW, 'audio/basic'],
  alaw: [AudioEncoding.ALAW, 'audio/x-alaw-basic'],
};

export function createRender(transport: Transport, caller: Caller) {
  const client = createClient(TextToSpeechService, transport);
  return async (
    request: string | SpeakRequest,
    format: SoundFormat,
    options: CallOptions = {},
  ): Promise<RenderedSpeech> => {
    try {
      const [encoding, mediaType] = formatOf(format);
      const message = await synthesizeRequest(request, encoding);
      const call = await caller.connectOptions(options);
      const { bytes, ...told } = await gathered(client.synthesize(message, call), encoding);
      if (format !== 'wav') return { bytes, mediaType, ...told };
      const { sampleRateHz } = told.started;
      return { bytes: encodeWav({ samples: samplesOf(bytes), sampleRateHz }), mediaType, ...told };
    } catch (reason) {
      throw callErrorOf(reason, options.signal);
    }
  };
}

/** Callers without types may ask for anything. */
function formatOf(format: SoundFormat): readonly [AudioEncoding, string] {
  if (Object.hasOwn(FORMATS, format)) return FORMATS[format];
  const known = Object.keys(FORMATS).join(', ');
  throw failure({ kind: 'invalid', field: 'format' }, `format must be one of ${known}`, {
    reason: 'UNSUPPORTED_ENCODING',
  });
}

async function gathered(
  responses: AsyncIterable<StreamingSynthesizeResponse>,
  encoding: AudioEncoding,
) {
  const pieces: Uint8Array[] = [];
  const warnings: SoundWarning[] = [];
  let started: SoundStarted | undefined;
  let summary: SpeechSummary | undefined;
  for await (const { streamingResponse } of responses) {
    const { case: kind, value } = streamingResponse;
    if (kind === 'started') started = startedOf(value, encoding);
    else if (kind === 'audio') pieces.push(value.audioContent);
    else if (kind === 'warning') warnings.push(warningOf(value));
    else if (kind === 'summary') summary = summaryOf(value);
  }
  if (started === undefined || summary === undefined) {
    throw failure({ kind: 'internal' }, 'the stream ended before its summary');
  }
  return { bytes: joinBytes(pieces), started, summary, warnings };
}
