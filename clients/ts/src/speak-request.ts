/** What is to be spoken, by whom and how. */

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type AudioConfigSchema,
  AudioEncoding,
  type CustomPronunciationSchema,
  type SynthesizeRequest,
  SynthesizeRequestSchema,
  type VoiceSelectionSchema,
} from './gen/chatterbox/v1/synthesis_pb.js';
import { resourceName } from './names.js';
import { type SynthesisOptions, wireOptions } from './options.js';

/** Who speaks and how. What is left out is the server's choice. */
export interface VoiceSettings {
  /** Name or id: `voices/ada` or `ada`. */
  readonly voice?: string | undefined;
  /** A recording to speak like, in place of `voice`, for once. */
  readonly reference?: ReferenceAudio | undefined;
  /** Name or id: `models/tiny` or `tiny`. */
  readonly model?: string | undefined;
  /** BCP 47 tag of the text's language. Default: the voice's. */
  readonly languageCode?: string | undefined;
  readonly options?: SynthesisOptions | undefined;
  /** How fast to speak, 0.5 to 2, at the same pitch. Default: 1. */
  readonly speakingRate?: number | undefined;
  /** Louder (above 0) or softer, -96 to 16. Default: 0. */
  readonly volumeGainDb?: number | undefined;
  /** 8,000 to 48,000. Default: the model's own. */
  readonly sampleRateHz?: number | undefined;
  /** How words are to be said, in their place: `{ GIF: 'jiff' }`. At most 100. */
  readonly pronunciations?: Readonly<Record<string, string>> | undefined;
}

/** A recording of one person who speaks for 3 to 30 seconds. */
export interface ReferenceAudio {
  /** The bytes of a WAV, MP3, FLAC, Ogg, M4A or WebM file, at most 10 MiB. */
  readonly content: Uint8Array;
  /** You declare that the person who speaks consents to a copy of their voice, or is you. */
  readonly consent: boolean;
}

/** A text that is known as a whole, 1 to 100,000 characters. */
export interface SpeakRequest extends VoiceSettings {
  readonly text: string;
}

/** The contract's form of a request; a string is a text with everything else left out. */
export function synthesizeRequest(
  request: string | SpeakRequest,
  encoding = AudioEncoding.PCM,
): SynthesizeRequest {
  const { text, ...settings } = typeof request === 'string' ? { text: request } : request;
  return create(SynthesizeRequestSchema, {
    input: { inputSource: { case: 'text', value: text } },
    ...wireSettings(settings, encoding),
  });
}

/** What both methods take beside the text. */
export function wireSettings(settings: VoiceSettings, encoding = AudioEncoding.PCM) {
  const { options, pronunciations = {} } = settings;
  return {
    voice: voiceSelection(settings),
    audioConfig: audioConfig(settings, encoding),
    pronunciations: Object.entries(pronunciations).map(
      ([phrase, spokenAs]): MessageInitShape<typeof CustomPronunciationSchema> => ({
        phrase,
        spokenAs,
      }),
    ),
    ...(options === undefined ? {} : { options: wireOptions(options) }),
  };
}

function voiceSelection(settings: VoiceSettings): MessageInitShape<typeof VoiceSelectionSchema> {
  const { voice = '', model = '', languageCode = '', reference } = settings;
  return {
    name: resourceName('voices', voice),
    model: resourceName('models', model),
    languageCode,
    ...(reference === undefined
      ? {}
      : { referenceAudio: { ...reference, content: new Uint8Array(reference.content) } }),
  };
}

function audioConfig(
  settings: VoiceSettings,
  audioEncoding: AudioEncoding,
): MessageInitShape<typeof AudioConfigSchema> {
  const { speakingRate, volumeGainDb, sampleRateHz } = settings;
  return {
    audioEncoding,
    ...(speakingRate === undefined ? {} : { speakingRate }),
    ...(volumeGainDb === undefined ? {} : { volumeGainDb }),
    ...(sampleRateHz === undefined ? {} : { sampleRateHertz: sampleRateHz }),
  };
}
