/** What a person sets once: key, address, theme, sound. Kept in this browser. */

import type { SoundFormat } from '@chatterbox/client';
import { create } from 'zustand';
import { persist } from 'zustand/middleware';

export type Theme = 'system' | 'light' | 'dark';

export interface Settings {
  readonly apiKey: string;
  /** Empty: where the page came from. */
  readonly address: string;
  readonly theme: Theme;
  readonly prebufferMs: number;
  /** 0 to 1. */
  readonly volume: number;
  readonly format: SoundFormat;
}

export const DEFAULT_SETTINGS: Settings = {
  apiKey: '',
  address: '',
  theme: 'system',
  prebufferMs: 120,
  volume: 1,
  format: 'wav',
};

export const useSettings = create<Settings>()(
  persist(() => DEFAULT_SETTINGS, { name: 'chatterbox-settings', version: 1 }),
);

export function changeSettings(change: Partial<Settings>): void {
  useSettings.setState(change);
}
