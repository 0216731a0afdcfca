/** What a server says while it speaks. */

import { durationMs } from './duration.js';
import {
  AudioEncoding,
  type StreamingSynthesizeResponse,
  type SynthesisSummary as WireSummary,
  type WordTiming as WireWordTiming,
} from './gen/chatterbox/v1/synthesis_pb.js';
import { blockOf, startedOf, warningOf } from './sound-messages.js';
import type { SoundEvent, SoundStream, WordTiming } from './sound-stream.js';

/** What a finished stream amounted to, as the server saw it. */
export interface SpeechSummary {
  /** Length of all audio sent. */
  readonly audioMs: number;
  readonly characterCount: number;
  /** Utterances spoken. */
  readonly segmentCount: number;
  /** From the arrival of the first text to the first audio. */
  readonly timeToFirstAudioMs: number;
  /** From the arrival of the first text to the last audio. */
  readonly synthesisMs: number;
  /** Time the device spent on this stream. */
  readonly computeMs: number;
  /** `synthesisMs` over `audioMs`; below 1 outpaces playback. */
  readonly realTimeFactor: number;
  /** How often a listener who plays the audio as it comes was kept waiting. */
  readonly underrunCount: number;
  readonly underrunMs: number;
}

/** What a speech tells beside what every stream of sound does. */
export type SpeechOnlyEvent =
  /** When some words are said; together these events have every word once, in order. */
  | { readonly kind: 'words'; readonly words: readonly WordTiming[] }
  /** All text before a flush was spoken, and its audio sent. */
  | { readonly kind: 'flushed'; readonly flushId: string; readonly offsetMs: number }
  /** Unspoken text and unsent audio were dropped. */
  | { readonly kind: 'interrupted'; readonly offsetMs: number; readonly droppedText: string };

export type SpeechEvent = SoundEvent<SpeechSummary, SpeechOnlyEvent>;

/** Speech that is still being computed. */
export type Speech = SoundStream<SpeechSummary, SpeechOnlyEvent>;

/** What one message says; nothing for kinds that this package does not know. */
export function speechEvent(message: StreamingSynthesizeResponse): SpeechEvent | undefined {
  const { case: kind, value } = message.streamingResponse;
  switch (kind) {
    case 'started':
      return { kind, ...startedOf(value, AudioEncoding.PCM) };
    case 'audio':
      return { kind, ...blockOf(value) };
    case 'warning':
      return { kind, ...warningOf(value) };
    case 'wordTimings':
      return { kind: 'words', words: value.words.map(wordTimingOf) };
    case 'flushDone':
      return { kind: 'flushed', flushId: value.flushId, offsetMs: durationMs(value.offset) };
    case 'interrupted':
      return { kind, offsetMs: durationMs(value.offset), droppedText: value.droppedText };
    case 'summary':
      return { kind, ...summaryOf(value) };
    case undefined:
      return undefined;
  }
}

function wordTimingOf(wire: WireWordTiming): WordTiming {
  return {
    word: wire.word,
    startMs: durationMs(wire.startOffset),
    endMs: durationMs(wire.endOffset),
    segmentIndex: wire.segmentIndex,
  };
}

export function summaryOf(wire: WireSummary): SpeechSummary {
  return {
    audioMs: durationMs(wire.audioDuration),
    characterCount: wire.characterCount,
    segmentCount: wire.segmentCount,
    timeToFirstAudioMs: durationMs(wire.timeToFirstAudio),
    synthesisMs: durationMs(wire.synthesisDuration),
    computeMs: durationMs(wire.computeDuration),
    realTimeFactor: wire.realTimeFactor,
    underrunCount: wire.underrunCount,
    underrunMs: durationMs(wire.underrunDuration),
  };
}
