/** Who speaks, through which model. */

import type { MessageInitShape } from '@bufbuild/protobuf';
import { bytesOf, type FileBytes } from './file-bytes.js';
import type { VoiceSelectionSchema } from './gen/chatterbox/v1/synthesis_pb.js';
import { resourceName } from './names.js';

/** Who speaks. What is left out is the server's choice. */
export interface Speaker {
  /** Name or id: `voices/ada` or `ada`. */
  readonly voice?: string | undefined;
  /** A recording to speak like, in place of `voice`, for once. */
  readonly reference?: ReferenceAudio | undefined;
  /** Name or id: `models/tiny` or `tiny`. */
  readonly model?: string | undefined;
  /** BCP 47 tag of the text's language. Default: the voice's. */
  readonly languageCode?: string | undefined;
}

/** A recording of one person who speaks for 3 to 30 seconds. */
export interface ReferenceAudio {
  /** WAV, MP3, FLAC, Ogg, M4A or WebM, at most 10 MiB. */
  readonly recording: FileBytes;
  /** You declare that the person who speaks consents to a copy of their voice, or is you. */
  readonly consent: boolean;
}

/** The contract's form. */
export async function voiceSelection({
  voice = '',
  model = '',
  languageCode = '',
  reference,
}: Speaker): Promise<MessageInitShape<typeof VoiceSelectionSchema>> {
  const selection = {
    name: resourceName('voices', voice),
    model: resourceName('models', model),
    languageCode,
  };
  if (reference === undefined) return selection;
  const { recording, consent } = reference;
  return { ...selection, referenceAudio: { content: await bytesOf(recording), consent } };
}
