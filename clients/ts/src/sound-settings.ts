/** The form in which sound is sent. */

import type { MessageInitShape } from '@bufbuild/protobuf';
import type { AudioConfigSchema, AudioEncoding } from './gen/chatterbox/v1/synthesis_pb.js';

/** What is done to the sound that a model makes. */
export interface SoundSettings {
  /** How fast to speak, 0.5 to 2, at the same pitch. Default: 1. */
  readonly speakingRate?: number | undefined;
  /** Louder (above 0) or softer, -96 to 16. Default: 0. */
  readonly volumeGainDb?: number | undefined;
  /** 8,000 to 48,000. Default: the model's own. */
  readonly sampleRateHz?: number | undefined;
}

/** The contract's form. */
export function audioConfig(
  { speakingRate, volumeGainDb, sampleRateHz }: SoundSettings,
  audioEncoding: AudioEncoding,
): MessageInitShape<typeof AudioConfigSchema> {
  return {
    audioEncoding,
    ...(speakingRate === undefined ? {} : { speakingRate }),
    ...(volumeGainDb === undefined ? {} : { volumeGainDb }),
    ...(sampleRateHz === undefined ? {} : { sampleRateHertz: sampleRateHz }),
  };
}
