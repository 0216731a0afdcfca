/** What was spoken: survives reloads and crashes in IndexedDB, one record for each entry. */

import { createStore, delMany, entries as readAll, set } from 'idb-keyval';
import { create } from 'zustand';
import { dropSounds, keepSound, type Sound } from '@/speech/sounds';
import type { SpeechSettings } from '@/speech/speech-settings';

/** `speaking` in a record that is read at the start means that the page was closed meanwhile. */
export type EntryState = 'speaking' | 'complete' | 'stopped' | 'failed' | 'interrupted';

export interface HistoryEntry {
  readonly id: string;
  readonly createdAt: number;
  readonly text: string;
  readonly settings: SpeechSettings;
  readonly state: EntryState;
  readonly durationMs: number;
  /** The outline, for a picture. */
  readonly bars: readonly number[];
  /** What the server said that it used. */
  readonly voice?: string;
  readonly model?: string;
  readonly seed?: string;
  readonly firstSoundMs?: number;
  readonly realTimeFactor?: number;
}

export interface History {
  readonly isLoaded: boolean;
  /** Newest first. */
  readonly entries: readonly HistoryEntry[];
}

const MAX_ENTRIES = 200;
const MAX_DURATION_MS = 3_600_000; // of all entries together: 170 MB

const store = createStore('chatterbox-history', 'entries');

export const useHistory = create<History>(() => ({ isLoaded: false, entries: [] }));

/** Reads what is there; what was being spoken when the page went is marked. */
export async function loadHistory(): Promise<void> {
  if (useHistory.getState().isLoaded) return;
  const found = await readAll<string, HistoryEntry>(store).catch(() => []);
  const known = new Set(useHistory.getState().entries.map(({ id }) => id));
  const old = found
    .map(([, entry]) =>
      entry.state === 'speaking' ? { ...entry, state: 'interrupted' as const } : entry,
    )
    .filter(({ id }) => !known.has(id));
  const entries = [...useHistory.getState().entries, ...old].sort(
    (a, b) => b.createdAt - a.createdAt,
  );
  useHistory.setState({ isLoaded: true, entries });
}

export function findEntry(id: string | undefined): HistoryEntry | undefined {
  return useHistory.getState().entries.find((entry) => entry.id === id);
}

export async function addEntry(entry: HistoryEntry): Promise<void> {
  useHistory.setState(({ entries }) => ({ entries: [entry, ...entries] }));
  await set(entry.id, entry, store);
  await removeEntries(surplus(useHistory.getState().entries));
}

export async function changeEntry(
  id: string,
  change: Partial<HistoryEntry>,
  sound?: Sound,
): Promise<void> {
  useHistory.setState(({ entries }) => ({
    entries: entries.map((entry) => (entry.id === id ? { ...entry, ...change } : entry)),
  }));
  if (findEntry(id) === undefined) return; // deleted meanwhile
  if (sound !== undefined) await keepSound(id, sound);
  const entry = findEntry(id); // may have changed meanwhile
  if (entry === undefined) await dropSounds([id]);
  else await set(id, entry, store);
}

export async function removeEntries(ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  useHistory.setState(({ entries }) => ({
    entries: entries.filter(({ id }) => !ids.includes(id)),
  }));
  await Promise.all([delMany([...ids], store), dropSounds(ids)]);
}

/** The ids of the oldest entries that are too many, or whose sound is too long together. */
export function surplus(entries: readonly HistoryEntry[]): string[] {
  let durationMs = 0;
  return entries
    .filter((entry, index) => {
      durationMs += entry.durationMs;
      return index > 0 && (index >= MAX_ENTRIES || durationMs > MAX_DURATION_MS);
    })
    .map(({ id }) => id);
}
