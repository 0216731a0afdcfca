/** What is to be spoken, by whom and how. */

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  AudioEncoding,
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
  /** Name or id: `models/tiny` or `tiny`. */
  readonly model?: string | undefined;
  /** BCP 47 tag of the text's language. Default: the voice's. */
  readonly languageCode?: string | undefined;
  readonly options?: SynthesisOptions | undefined;
}

/** A text that is known as a whole, 1 to 100,000 characters. */
export interface SpeakRequest extends VoiceSettings {
  readonly text: string;
}

/** The contract's form of a request; a string is a text with everything else left out. */
export function synthesizeRequest(request: string | SpeakRequest): SynthesizeRequest {
  const { text, ...settings } = typeof request === 'string' ? { text: request } : request;
  return create(SynthesizeRequestSchema, {
    input: { inputSource: { case: 'text', value: text } },
    ...wireSettings(settings),
  });
}

/** What both methods take beside the text. */
export function wireSettings({ voice, model, languageCode, options }: VoiceSettings) {
  const selection: MessageInitShape<typeof VoiceSelectionSchema> = {
    name: resourceName('voices', voice ?? ''),
    model: resourceName('models', model ?? ''),
    languageCode: languageCode ?? '',
  };
  return {
    voice: selection,
    audioConfig: { audioEncoding: AudioEncoding.PCM },
    ...(options === undefined ? {} : { options: wireOptions(options) }),
  };
}
