/** The client, made of a transport. */

import { createClient, type Transport } from '@connectrpc/connect';
import type { ApiKey, Caller, CallOptions } from './call.js';
import { type Cluster, createCluster } from './cluster.js';
import { type Conversion, type ConversionSummary, conversionEvent } from './conversion.js';
import { type ConvertRequest, convertRequest } from './convert-request.js';
import type { FileBytes } from './file-bytes.js';
import { TextToSpeechService } from './gen/chatterbox/v1/text_to_speech_service_pb.js';
import { VoiceConversionService } from './gen/chatterbox/v1/voice_conversion_service_pb.js';
import { createModels, type Models } from './models.js';
import { createRender, type RenderedSpeech, type SoundFormat } from './sound-file.js';
import { eventsOf } from './sound-messages.js';
import { SoundStream } from './sound-stream.js';
import { type SpeakRequest, synthesizeRequest } from './speak-request.js';
import { type Speech, speechEvent } from './speech.js';
import { type ImportVoice, importOverGrpc } from './voice-archive.js';
import { createVoices, type Voices } from './voices.js';
import { createDetectWatermark, type WatermarkFinding } from './watermark.js';

export interface ChatterboxOptions {
  /**
   * Where the service is, such as `http://127.0.0.1:8080`. Default: where the page came from, and
   * on Node `http://127.0.0.1:8080`.
   */
  readonly baseUrl?: string | undefined;
  /** Sent as `Authorization: Bearer` with every call. Default: none. */
  readonly apiKey?: ApiKey | undefined;
  /** How calls travel, for tests and special cases; `baseUrl` is then not used. */
  readonly transport?: Transport | undefined;
}

/** A speech service. */
export interface Chatterbox {
  /** Speaks a text that is known as a whole. The call begins at once. */
  speak(request: string | SpeakRequest, options?: CallOptions): Speech;
  /** Speaks a text into a sound file. */
  render(
    request: string | SpeakRequest,
    format: SoundFormat,
    options?: CallOptions,
  ): Promise<RenderedSpeech>;
  /** Says a recording in another voice. The call begins at once. */
  convert(request: ConvertRequest, options?: CallOptions): Conversion;
  /** Tells whether a recording (at most 3 MiB) carries the watermark of synthetic speech. */
  detectWatermark(recording: FileBytes, options?: CallOptions): Promise<WatermarkFinding>;
  readonly voices: Voices;
  readonly models: Models;
  readonly cluster: Cluster;
}

/** A client that calls over `transport`. */
export function chatterboxOver(
  transport: Transport,
  caller: Caller,
  importVoice: ImportVoice = importOverGrpc(transport, caller),
): Chatterbox {
  const speaking = createClient(TextToSpeechService, transport);
  const converting = createClient(VoiceConversionService, transport);
  return {
    speak: (request, options = {}) =>
      new SoundStream(async function* call(signal) {
        const message = await synthesizeRequest(request);
        const connect = await caller.connectOptions({ ...options, signal });
        yield* eventsOf(speaking.synthesize(message, connect), speechEvent);
      }, options.signal),
    render: createRender(transport, caller),
    convert: (request, options = {}) =>
      new SoundStream<ConversionSummary>(async function* call(signal) {
        const message = await convertRequest(request);
        const connect = await caller.connectOptions({ ...options, signal });
        yield* eventsOf(converting.convertRecording(message, connect), conversionEvent);
      }, options.signal),
    detectWatermark: createDetectWatermark(transport, caller),
    voices: createVoices(transport, caller, importVoice),
    models: createModels(transport, caller),
    cluster: createCluster(transport, caller),
  };
}
