/** The takes of the playlist. Kept with every change; their sounds are in `speech/sounds`. */

import { create } from 'zustand';
import { persist } from 'zustand/middleware';
import { newId } from '@/lib/id';
import { keptStorage } from '@/lib/kept';
import { dropSounds } from '@/speech/sounds';
import type { SpeechSettings } from '@/speech/speech-settings';

/** `waiting` and `generating` last no longer than the page. */
export type TakeState = 'empty' | 'waiting' | 'generating' | 'ready' | 'failed';

export interface Take {
  readonly id: string;
  readonly text: string;
  readonly state: TakeState;
  readonly durationMs: number;
  readonly bars: readonly number[];
  /** Text and settings that its sound was made with; it is stale where they have changed. */
  readonly madeFrom: string;
  readonly seed: string;
  readonly error?: string;
}

export interface Playlist {
  readonly title: string;
  readonly draft: string;
  readonly mostCharacters: number;
  readonly gapS: number;
  readonly takes: readonly Take[];
}

export const MAX_TAKES = 1_000;

const EMPTY: Playlist = { title: '', draft: '', mostCharacters: 280, gapS: 0.4, takes: [] };

export const usePlaylist = create<Playlist>()(
  persist(() => EMPTY, {
    name: 'chatterbox-playlist',
    version: 1,
    storage: keptStorage(),
    skipHydration: true,
    partialize: (playlist) => ({ ...playlist, takes: playlist.takes.map(settled) }),
  }),
);

await usePlaylist.persist.rehydrate(); // nobody sees it before

/** As a take is found after a reload. */
function settled(take: Take): Take {
  if (take.state !== 'waiting' && take.state !== 'generating') return take;
  return { ...take, state: take.durationMs > 0 ? 'ready' : 'empty' };
}

export function changePlaylist(change: Partial<Omit<Playlist, 'takes'>>): void {
  usePlaylist.setState(change);
}

export function newTake(text: string): Take {
  return {
    id: `take-${newId()}`,
    text,
    state: 'empty',
    durationMs: 0,
    bars: [],
    madeFrom: '',
    seed: '',
  };
}

/** Adds takes at the end, as many as there is room for. */
export function addTakes(texts: readonly string[]): void {
  usePlaylist.setState(({ takes }) => ({
    takes: [...takes, ...texts.map(newTake)].slice(0, MAX_TAKES),
  }));
}

export function changeTake(id: string, change: Partial<Take>): void {
  usePlaylist.setState(({ takes }) => ({
    takes: takes.map((take) => (take.id === id ? { ...take, ...change } : take)),
  }));
}

export function removeTake(id: string): void {
  usePlaylist.setState(({ takes }) => ({ takes: takes.filter((take) => take.id !== id) }));
  void dropSounds([id]);
}

/** Moves a take to the place `to`; out of range is the nearest end. */
export function moveTake(id: string, to: number): void {
  usePlaylist.setState(({ takes }) => {
    const from = takes.findIndex((take) => take.id === id);
    const moved = takes[from];
    if (moved === undefined) return {};
    const others = takes.filter((take) => take.id !== id);
    const place = Math.max(0, Math.min(others.length, to));
    return { takes: [...others.slice(0, place), moved, ...others.slice(place)] };
  });
}

export function clearPlaylist(): void {
  const ids = usePlaylist.getState().takes.map(({ id }) => id);
  usePlaylist.setState({ title: '', draft: '', takes: [] });
  void dropSounds(ids);
}

/** What decides how a take sounds; the seed is each take's own. */
export function recipe(text: string, settings: SpeechSettings): string {
  const { voice, model, languageCode, options, speakingRate } = settings;
  const sorted = Object.entries(options).sort(([a], [b]) => a.localeCompare(b));
  return JSON.stringify([text, voice, model, languageCode, sorted, speakingRate]);
}

export function isStale(take: Take, settings: SpeechSettings): boolean {
  return take.durationMs > 0 && take.madeFrom !== recipe(take.text, settings);
}

/** What `generate all` would make. */
export function missing(takes: readonly Take[], settings: SpeechSettings): Take[] {
  return takes.filter(
    (take) => take.text.trim() !== '' && (take.durationMs === 0 || isStale(take, settings)),
  );
}
