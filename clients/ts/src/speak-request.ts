/** What is to be spoken, by whom and how. */

import { create } from '@bufbuild/protobuf';
import {
  AudioEncoding,
  type SynthesizeRequest,
  SynthesizeRequestSchema,
} from './gen/chatterbox/v1/synthesis_pb.js';
import { type SynthesisOptions, wireOptions } from './options.js';
import { audioConfig, type SoundSettings } from './sound-settings.js';
import { type Speaker, voiceSelection } from './speaker.js';

/** Who speaks and how. What is left out is the server's choice. */
export interface VoiceSettings extends Speaker, SoundSettings {
  readonly options?: SynthesisOptions | undefined;
  /** How words are to be said, in their place: `{ GIF: 'jiff' }`. At most 100. */
  readonly pronunciations?: Readonly<Record<string, string>> | undefined;
  /** Whether to tell when each word is said. Default: no. */
  readonly wordTimings?: boolean | undefined;
}

/** A text that is known as a whole, 1 to 100,000 characters. */
export interface SpeakRequest extends VoiceSettings {
  readonly text: string;
}

/** The contract's form of a request; a string is a text with everything else left out. */
export async function synthesizeRequest(
  request: string | SpeakRequest,
  encoding = AudioEncoding.PCM,
): Promise<SynthesizeRequest> {
  const { text, ...settings } = typeof request === 'string' ? { text: request } : request;
  return create(SynthesizeRequestSchema, {
    input: { inputSource: { case: 'text', value: text } },
    ...(await wireSettings(settings, encoding)),
  });
}

/** What both methods take beside the text. */
export async function wireSettings(settings: VoiceSettings, encoding = AudioEncoding.PCM) {
  const { options, pronunciations = {}, wordTimings = false } = settings;
  return {
    voice: await voiceSelection(settings),
    audioConfig: audioConfig(settings, encoding),
    pronunciations: Object.entries(pronunciations).map(([phrase, spokenAs]) => ({
      phrase,
      spokenAs,
    })),
    enableWordTimings: wordTimings,
    ...(options === undefined ? {} : { options: wireOptions(options) }),
  };
}
