/** What a server says while it converts. */

import { durationMs } from './duration.js';
import type {
  ConvertVoiceResponse,
  ConversionSummary as WireSummary,
} from './gen/chatterbox/v1/conversion_pb.js';
import { AudioEncoding } from './gen/chatterbox/v1/synthesis_pb.js';
import { blockOf, startedOf, warningOf } from './sound-messages.js';
import type { SoundEvent, SoundStream } from './sound-stream.js';

/** What a finished conversion amounted to, as the server saw it. */
export interface ConversionSummary {
  /** Length of the source. */
  readonly sourceMs: number;
  /** Length of all audio sent: as long as the source at `speakingRate` 1. */
  readonly audioMs: number;
  /** From the arrival of the first audio to the first audio sent. */
  readonly timeToFirstAudioMs: number;
  /** From the arrival of the first audio to the last audio sent. */
  readonly conversionMs: number;
  /** Time the device spent on this stream. */
  readonly computeMs: number;
  /** `computeMs` over `sourceMs`; below 1 the device is faster than real time. */
  readonly realTimeFactor: number;
}

export type ConversionEvent = SoundEvent<ConversionSummary, never>;

/** Speech in another voice that is still being computed. */
export type Conversion = SoundStream<ConversionSummary>;

/** What one message says; nothing for kinds that this package does not know. */
export function conversionEvent(message: ConvertVoiceResponse): ConversionEvent | undefined {
  const { case: kind, value } = message.convertResponse;
  switch (kind) {
    case 'started':
      return { kind, ...startedOf(value, AudioEncoding.PCM) };
    case 'audio':
      return { kind, ...blockOf(value) };
    case 'warning':
      return { kind, ...warningOf(value) };
    case 'summary':
      return { kind, ...summaryOf(value) };
    case undefined:
      return undefined;
  }
}

function summaryOf(wire: WireSummary): ConversionSummary {
  return {
    sourceMs: durationMs(wire.sourceDuration),
    audioMs: durationMs(wire.audioDuration),
    timeToFirstAudioMs: durationMs(wire.timeToFirstAudio),
    conversionMs: durationMs(wire.conversionDuration),
    computeMs: durationMs(wire.computeDuration),
    realTimeFactor: wire.realTimeFactor,
  };
}
