/** The voices of a server. */

import { createClient, type Transport } from '@connectrpc/connect';
import type { Caller, CallOptions } from './call.js';
import {
  VoiceGender as WireGender,
  type Voice as WireVoice,
} from './gen/chatterbox/v1/voice_pb.js';
import { VoicesService } from './gen/chatterbox/v1/voices_service_pb.js';
import { idOf, resourceName } from './names.js';
import { allPages } from './pages.js';

export type VoiceGender = 'male' | 'female' | 'neutral' | 'unspecified';

/** A voice that can be asked to speak. */
export interface Voice {
  /** `voices/ada`. */
  readonly name: string;
  /** `ada`. */
  readonly id: string;
  readonly displayName: string;
  /** How it sounds and where it comes from. May be empty. */
  readonly description: string;
  /** BCP 47 tag of the language it speaks unless told otherwise. */
  readonly languageCode: string;
  readonly gender: VoiceGender;
  /** Names of the models that can speak with it, `models/tiny`. */
  readonly models: readonly string[];
}

/** Tells which voices there are. */
export interface Voices {
  /** All voices, in the order of their names. */
  list(options?: CallOptions): Promise<Voice[]>;
  /** One voice, by name or id; `not-found` if there is none. */
  get(nameOrId: string, options?: CallOptions): Promise<Voice>;
}

export function createVoices(transport: Transport, caller: Caller): Voices {
  const client = createClient(VoicesService, transport);
  return {
    list: (options) =>
      allPages(
        (page) => caller.ask((connect) => client.listVoices(page, connect), options),
        (page) => page.voices.map(voiceOf),
      ),
    get: async (nameOrId, options) => {
      const name = resourceName('voices', nameOrId);
      return voiceOf(await caller.ask((connect) => client.getVoice({ name }, connect), options));
    },
  };
}

const GENDERS: Readonly<Record<WireGender, VoiceGender>> = {
  [WireGender.UNSPECIFIED]: 'unspecified',
  [WireGender.MALE]: 'male',
  [WireGender.FEMALE]: 'female',
  [WireGender.NEUTRAL]: 'neutral',
};

function voiceOf(wire: WireVoice): Voice {
  return {
    name: wire.name,
    id: idOf(wire.name),
    displayName: wire.displayName,
    description: wire.description,
    languageCode: wire.languageCode,
    gender: GENDERS[wire.gender] ?? 'unspecified',
    models: wire.models,
  };
}
