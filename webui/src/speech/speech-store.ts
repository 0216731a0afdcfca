/** The text that is being written, and who is to say it. Kept with every change. */

import { create } from 'zustand';
import { persist } from 'zustand/middleware';
import { keptStorage } from '@/lib/kept';
import {
  DEFAULT_SPEECH,
  type NumericOption,
  type NumericOptions,
  type SpeechSettings,
} from './speech-settings';

export interface Preset {
  readonly id: string;
  readonly name: string;
  readonly options: NumericOptions;
  readonly speakingRate: number;
}

export interface SpeechStore {
  readonly text: string;
  readonly settings: SpeechSettings;
  readonly presets: readonly Preset[];
}

const MAX_PRESETS = 30;

export const useSpeechStore = create<SpeechStore>()(
  persist((): SpeechStore => ({ text: '', settings: DEFAULT_SPEECH, presets: [] }), {
    name: 'chatterbox-speech',
    version: 1,
    storage: keptStorage(),
    skipHydration: true,
  }),
);

await useSpeechStore.persist.rehydrate(); // nobody sees it before

export function setText(text: string): void {
  useSpeechStore.setState({ text });
}

export function changeSpeech(change: Partial<SpeechSettings>): void {
  useSpeechStore.setState(({ settings }) => ({ settings: { ...settings, ...change } }));
}

/** Moves one option, or with `undefined` back to the model's own. */
export function setOption(option: NumericOption, value: number | undefined): void {
  useSpeechStore.setState(({ settings }) => {
    const { [option]: _old, ...others } = settings.options;
    return {
      settings: {
        ...settings,
        options: value === undefined ? others : { ...others, [option]: value },
      },
    };
  });
}

export function addPreset(preset: Preset): void {
  useSpeechStore.setState(({ presets }) => ({
    presets: [...presets.filter(({ name }) => name !== preset.name), preset].slice(-MAX_PRESETS),
  }));
}

export function removePreset(id: string): void {
  useSpeechStore.setState(({ presets }) => ({ presets: presets.filter((each) => each.id !== id) }));
}
