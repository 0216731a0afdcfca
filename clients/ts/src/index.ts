/** `@chatterbox/client` for browsers: gRPC-Web, a player and a microphone. */

import { createGrpcWebTransport } from '@connectrpc/connect-web';
import { Caller } from './call.js';
import { type Chatterbox, type ChatterboxOptions, chatterboxOver } from './chatterbox.js';
import { failure } from './errors.js';

/** A client for the service at `baseUrl`. */
export function createChatterbox(options: ChatterboxOptions = {}): Chatterbox {
  const transport =
    options.transport ?? createGrpcWebTransport({ baseUrl: options.baseUrl ?? pageOrigin() });
  return chatterboxOver(transport, new Caller(options.apiKey));
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
