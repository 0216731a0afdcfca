/** Text as it is written, and what else a live session can be told. */

import { create } from '@bufbuild/protobuf';
import { durationOf } from './duration.js';
import {
  type StreamingSynthesizeRequest,
  StreamingSynthesizeRequestSchema,
} from './gen/chatterbox/v1/synthesis_pb.js';
import { type VoiceSettings, wireSettings } from './speak-request.js';
import { untilAborted } from './until-aborted.js';

/** The settings of a live session. */
export interface LiveSettings extends VoiceSettings {
  /** How long half a sentence may wait for the rest, 0 to 5,000 ms. Default: 1,000. */
  readonly maxBufferDelayMs?: number | undefined;
}

/** Speak all text so far without waiting for its sentence to end; answered by `flushed`. */
export interface Flush {
  readonly kind: 'flush';
  /** Comes back in the answer, at most 64 characters. */
  readonly flushId?: string | undefined;
}

/** The listener has begun to speak: drop what is not yet spoken; answered by `interrupted`. */
export interface Interrupt {
  readonly kind: 'interrupt';
  /** How much of the stream's audio was heard. Default: unknown. */
  readonly playedMs?: number | undefined;
}

/** A piece of text, cut anywhere, or a command. */
export type LiveInput = string | Flush | Interrupt;

/** The messages of a session: its settings, then each input in turn. Empty text is left out. */
export async function* liveRequests(
  settings: LiveSettings,
  inputs: AsyncIterable<LiveInput>,
  signal: AbortSignal,
  fail: (reason: unknown) => void,
): AsyncGenerator<StreamingSynthesizeRequest> {
  const source = untilAborted(inputs, signal, fail);
  yield await configRequest(settings);
  for await (const input of source) if (input !== '') yield inputRequest(input);
}

async function configRequest({
  maxBufferDelayMs,
  ...settings
}: LiveSettings): Promise<StreamingSynthesizeRequest> {
  const delay =
    maxBufferDelayMs === undefined ? {} : { maxBufferDelay: durationOf(maxBufferDelayMs) };
  return create(StreamingSynthesizeRequestSchema, {
    streamingRequest: {
      case: 'streamingConfig',
      value: { ...(await wireSettings(settings)), ...delay },
    },
  });
}

function inputRequest(input: LiveInput): StreamingSynthesizeRequest {
  if (typeof input === 'string') {
    return create(StreamingSynthesizeRequestSchema, {
      streamingRequest: {
        case: 'input',
        value: { inputSource: { case: 'text', value: input } },
      },
    });
  }
  if (input.kind === 'flush') {
    return create(StreamingSynthesizeRequestSchema, {
      streamingRequest: { case: 'flush', value: { flushId: input.flushId ?? '' } },
    });
  }
  const heard = input.playedMs === undefined ? {} : { playbackOffset: durationOf(input.playedMs) };
  return create(StreamingSynthesizeRequestSchema, {
    streamingRequest: { case: 'interrupt', value: heard },
  });
}
