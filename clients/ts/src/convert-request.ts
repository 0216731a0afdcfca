/** What is to be said in another voice, and in which. */

import { create } from '@bufbuild/protobuf';
import { failure } from './errors.js';
import { bytesOf, type FileBytes } from './file-bytes.js';
import {
  type ConvertRecordingRequest,
  ConvertRecordingRequestSchema,
  SourceEncoding,
} from './gen/chatterbox/v1/conversion_pb.js';
import { AudioEncoding } from './gen/chatterbox/v1/synthesis_pb.js';
import { wireSeed } from './options.js';
import { audioConfig, type SoundSettings } from './sound-settings.js';
import { type Speaker, voiceSelection } from './speaker.js';

/** The most that `convert` takes: the server's own limit. */
export const MAX_RECORDING_BYTES = 12 * 1_048_576;

/** In which voice and how. What is left out is the server's choice. */
export interface ConversionSettings extends Omit<Speaker, 'languageCode'>, SoundSettings {
  /** 0 to 2^63 - 1; the same source with the same seed gives the same audio. */
  readonly seed?: bigint | number | undefined;
  /**
   * Samples per second of a source that is mono 16-bit little-endian samples and nothing else,
   * 8,000 to 192,000. Default: the source is a WAV, MP3, FLAC, Ogg or WebM file.
   */
  readonly pcmRateHz?: number | undefined;
}

/** A recording that is known as a whole, at most an hour of sound. */
export interface ConvertRequest extends ConversionSettings {
  /** At most `MAX_RECORDING_BYTES`. */
  readonly recording: FileBytes;
}

/** The contract's form; fails with `invalid` for a recording that the server would not take. */
export async function convertRequest({
  recording,
  ...settings
}: ConvertRequest): Promise<ConvertRecordingRequest> {
  const size = recording instanceof Blob ? recording.size : recording.length;
  if (size > MAX_RECORDING_BYTES) {
    const message = `the recording has ${size} bytes, and at most ${MAX_RECORDING_BYTES} are taken`;
    throw failure({ kind: 'invalid', field: 'audio' }, message, { reason: 'TOO_LARGE' });
  }
  return create(ConvertRecordingRequestSchema, {
    ...(await wireConversion(settings)),
    audio: { data: await bytesOf(recording) },
  });
}

/** What both methods take beside the sound. */
export async function wireConversion(settings: ConversionSettings) {
  const { seed, pcmRateHz } = settings;
  return {
    voice: await voiceSelection(settings),
    audioConfig: audioConfig(settings, AudioEncoding.PCM),
    ...(seed === undefined ? {} : { seed: wireSeed(seed, 'seed') }),
    ...(pcmRateHz === undefined
      ? {}
      : { source: { encoding: SourceEncoding.PCM, sampleRateHertz: pcmRateHz } }),
  };
}
