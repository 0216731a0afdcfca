/** What a voice is. */

import { timestampDate } from '@bufbuild/protobuf/wkt';
import { durationMs } from './duration.js';
import {
  VoiceGender as WireGender,
  type RecordingQuality as WireQuality,
  type Voice as WireVoice,
} from './gen/chatterbox/v1/voice_pb.js';
import { idOf } from './names.js';

export type VoiceGender = 'male' | 'female' | 'neutral' | 'unspecified';

/** What is told of a voice. */
export interface VoiceFields {
  /** What to call it on a screen, at most 100 characters. Default: its id, capitalised. */
  readonly displayName?: string | undefined;
  /** How it sounds and where it comes from, at most 1,000 characters. May be empty. */
  readonly description?: string | undefined;
  /** BCP 47 tag of the language it speaks unless told otherwise. Default: `en`. */
  readonly languageCode?: string | undefined;
  readonly gender?: VoiceGender | undefined;
}

/** A voice that can be asked to speak. */
export interface Voice {
  /** `voices/ada`. */
  readonly name: string;
  /** `ada`. */
  readonly id: string;
  readonly displayName: string;
  readonly description: string;
  readonly languageCode: string;
  readonly gender: VoiceGender;
  /** Names of the models that can speak with it, `models/tiny`. */
  readonly models: readonly string[];
  /** It came with the installation, and can be neither changed nor deleted. */
  readonly isReadOnly: boolean;
  /** When it was made and last changed; `undefined` for one that came with the installation. */
  readonly createdAt: Date | undefined;
  readonly updatedAt: Date | undefined;
  /** When whoever made it declared that the speaker consents. */
  readonly consentedAt: Date | undefined;
  /** Of the recording that it was made from, if it was made from one. */
  readonly quality: RecordingQuality | undefined;
}

/** How good a recording is as a reference for a voice. */
export interface RecordingQuality {
  readonly durationMs: number;
  /** How much of that somebody speaks. */
  readonly speechMs: number;
  /** `speechMs` over `durationMs`. */
  readonly speechRatio: number;
  /** At least -70; speech is recorded at -30 to -16. */
  readonly loudnessLufs: number;
  readonly peakDbfs: number;
  /** Level of what is heard where nobody speaks. */
  readonly noiseFloorDbfs: number;
  /** Speech above the noise; 30 and more is a quiet room. */
  readonly signalToNoiseDb: number;
  /** Share of the samples that are cut off, 0 to 1. */
  readonly clippingRatio: number;
  /** What would make a better recording, in English sentences; empty if nothing would. */
  readonly advice: readonly string[];
}

const GENDERS: Readonly<Record<WireGender, VoiceGender>> = {
  [WireGender.UNSPECIFIED]: 'unspecified',
  [WireGender.MALE]: 'male',
  [WireGender.FEMALE]: 'female',
  [WireGender.NEUTRAL]: 'neutral',
};

const WIRE_GENDERS: Readonly<Record<VoiceGender, WireGender>> = {
  unspecified: WireGender.UNSPECIFIED,
  male: WireGender.MALE,
  female: WireGender.FEMALE,
  neutral: WireGender.NEUTRAL,
};

export function voiceOf(wire: WireVoice): Voice {
  return {
    name: wire.name,
    id: idOf(wire.name),
    displayName: wire.displayName,
    description: wire.description,
    languageCode: wire.languageCode,
    gender: GENDERS[wire.gender] ?? 'unspecified',
    models: wire.models,
    isReadOnly: wire.readOnly,
    createdAt: wire.createTime && timestampDate(wire.createTime),
    updatedAt: wire.updateTime && timestampDate(wire.updateTime),
    consentedAt: wire.consentTime && timestampDate(wire.consentTime),
    quality: wire.quality && qualityOf(wire.quality),
  };
}

/** The fields that are set, in the contract's form. */
export function wireFields({ gender, ...texts }: VoiceFields) {
  const set = Object.entries(texts).filter(([, text]) => text !== undefined);
  return {
    ...(Object.fromEntries(set) as {
      displayName?: string;
      description?: string;
      languageCode?: string;
    }),
    ...(gender === undefined ? {} : { gender: WIRE_GENDERS[gender] }),
  };
}

function qualityOf(wire: WireQuality): RecordingQuality {
  return {
    durationMs: durationMs(wire.duration),
    speechMs: durationMs(wire.speechDuration),
    speechRatio: wire.speechRatio,
    loudnessLufs: wire.loudnessLufs,
    peakDbfs: wire.peakDbfs,
    noiseFloorDbfs: wire.noiseFloorDbfs,
    signalToNoiseDb: wire.signalToNoiseDb,
    clippingRatio: wire.clippingRatio,
    advice: wire.advice,
  };
}
