/** The voice that recordings are converted to. Kept with every change. */

import { create } from 'zustand';
import { persist } from 'zustand/middleware';

export interface Target {
  /** Id, or empty for the server's default. */
  readonly voice: string;
}

export const useTarget = create<Target>()(
  persist((): Target => ({ voice: '' }), { name: 'chatterbox-convert', version: 1 }),
);

export function chooseVoice(voice: string): void {
  useTarget.setState({ voice });
}
