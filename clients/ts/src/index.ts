/** `@chatterbox/client` for browsers: gRPC-Web, a player and a microphone. */

import { createGrpcWebTransport } from '@connectrpc/connect-web';
import { Caller } from './call.js';
import { type Chatterbox, type ChatterboxOptions, chatterboxOver } from './chatterbox.js';
import { failure } from './errors.js';
import { importOverRest } from './voice-archive.js';

/** A client for the service at `baseUrl`. */
export function createChatterbox(options: ChatterboxOptions = {}): Chatterbox {
  const caller = new Caller(options.apiKey);
  if (options.transport !== undefined) return chatterboxOver(options.transport, caller);
  const baseUrl = options.baseUrl ?? pageOrigin();
  const transport = createGrpcWebTransport({ baseUrl });
  return chatterboxOver(transport, caller, importOverRest(baseUrl, caller));
}

function pageOrigin(): string {
  const origin = globalThis.location?.origin;
  if (!origin?.startsWith('http')) {
    throw failure({ kind: 'invalid', field: 'baseUrl' }, 'baseUrl is needed where no page is');
  }
  return origin;
}

export {
  Microphone,
  type MicrophoneOptions,
  type Recording,
  type RecordOptions,
  type SoundLevel,
} from './audio/microphone.js';
export {
  isMicrophoneError,
  type MicrophoneError,
  type MicrophoneErrorKind,
} from './audio/microphone-error.js';
export {
  PcmPlayer,
  type PcmPlayerOptions,
  type PcmStream,
  type PlaybackOutcome,
  type PlaybackState,
  type PlayOptions,
} from './audio/pcm-player.js';
export type { PlaybackPhase } from './audio/pcm-worklet.js';
export * from './shared.js';
