/** `@chatterbox/client/node`: gRPC over HTTP/2, with text and sound as they come. */

import { createClient, type Transport } from '@connectrpc/connect';
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import { Caller, type CallOptions } from './call.js';
import { type Chatterbox, type ChatterboxOptions, chatterboxOver } from './chatterbox.js';
import { type Conversion, type ConversionSummary, conversionEvent } from './conversion.js';
import type { ConversionSettings } from './convert-request.js';
import { Deferred } from './deferred.js';
import { TextToSpeechService } from './gen/chatterbox/v1/text_to_speech_service_pb.js';
import { VoiceConversionService } from './gen/chatterbox/v1/voice_conversion_service_pb.js';
import { type LiveInput, type LiveSettings, liveRequests } from './live-input.js';
import { liveSource } from './live-source.js';
import { eventsOf } from './sound-messages.js';
import { SoundStream } from './sound-stream.js';
import { type Speech, speechEvent } from './speech.js';

const DEFAULT_URL = 'http://127.0.0.1:8080';
const PING_INTERVAL_MS = 20_000;

/** A speech service that takes text while it is being written, and sound while it is said. */
export interface NodeChatterbox extends Chatterbox {
  /**
   * Speaks text as it is written: each sentence as soon as it is complete. The end of `inputs` says
   * that no more will come. An error that `inputs` throws comes out of the speech as it is.
   */
  speakLive(
    inputs: AsyncIterable<LiveInput>,
    settings?: LiveSettings,
    options?: CallOptions,
  ): Speech;
  /**
   * Says speech in another voice while it comes: `source` yields the bytes of a file, or of plain
   * samples, cut anywhere. Its end says that no more will come. An error that it throws comes out of
   * the conversion as it is.
   */
  convertLive(
    source: AsyncIterable<Uint8Array>,
    settings?: ConversionSettings,
    options?: CallOptions,
  ): Conversion;
  /** Closes the connection, which ends all calls on it. The next call opens a new one. */
  close(): void;
}

/** A client for the service at `baseUrl`. */
export function createChatterbox(options: ChatterboxOptions = {}): NodeChatterbox {
  const baseUrl = options.baseUrl ?? DEFAULT_URL;
  const connection = new Http2SessionManager(baseUrl, { pingIntervalMs: PING_INTERVAL_MS });
  const transport =
    options.transport ?? createGrpcTransport({ baseUrl, sessionManager: connection });
  const caller = new Caller(options.apiKey);
  return {
    ...chatterboxOver(transport, caller),
    speakLive: createSpeakLive(transport, caller),
    convertLive: createConvertLive(transport, caller),
    close: () => connection.abort(),
  };
}

function createSpeakLive(transport: Transport, caller: Caller): NodeChatterbox['speakLive'] {
  const client = createClient(TextToSpeechService, transport);
  return (inputs, settings = {}, options = {}) =>
    new SoundStream(async function* call(signal, fail) {
      const requests = liveRequests(settings, inputs, signal, fail);
      const connect = await caller.connectOptions({ ...options, signal });
      yield* eventsOf(client.streamingSynthesize(requests, connect), speechEvent);
    }, options.signal);
}

function createConvertLive(transport: Transport, caller: Caller): NodeChatterbox['convertLive'] {
  const client = createClient(VoiceConversionService, transport);
  return (source, settings = {}, options = {}) =>
    new SoundStream<ConversionSummary>(async function* call(signal, fail) {
      const accepted = new Deferred<void>();
      signal.addEventListener('abort', () => accepted.resolve(), { once: true });
      const requests = liveSource(settings, source, accepted.promise, signal, fail);
      const connect = await caller.connectOptions({ ...options, signal });
      const messages = client.convertVoice(requests, connect);
      for await (const event of eventsOf(messages, conversionEvent)) {
        if (event.kind === 'started') accepted.resolve();
        yield event;
      }
    }, options.signal);
}

export type { Flush, Interrupt, LiveInput, LiveSettings } from './live-input.js';
export * from './shared.js';
