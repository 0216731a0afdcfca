/**
 * What the stores of the page hold, kept twice: `localStorage` has the last change even if the page
 * goes at once, IndexedDB has it after a crash of the browser. Chromium writes `localStorage` to the
 * disk late: of 20 s of typing, a kill took the last 15.
 */

import { createStore, del, get, set } from 'idb-keyval';
import type { PersistStorage, StorageValue } from 'zustand/middleware';

interface Kept<State> {
  readonly savedAt: number;
  readonly value: StorageValue<State>;
}

const database = createStore('chatterbox-stores', 'stores');

export function keptStorage<State>(): PersistStorage<State> {
  const unwritten = new Map<string, Kept<State>>();
  let isWriting = false;
  // One write at a time; of several changes meanwhile the last is written.
  const write = async (): Promise<void> => {
    if (isWriting) return;
    isWriting = true;
    for (const [name, kept] of unwritten) {
      unwritten.delete(name);
      await set(name, kept, database).catch(() => undefined); // a full disk must stop nobody
    }
    isWriting = false;
  };
  return {
    getItem: async (name) => {
      const near = inLocalStorage<State>(name);
      const safe = await get<Kept<State>>(name, database).catch(() => undefined);
      const isNearNewer = near !== undefined && near.savedAt >= (safe?.savedAt ?? 0);
      return (isNearNewer ? near : safe)?.value ?? null;
    },
    setItem: (name, value) => {
      const kept = { savedAt: Date.now(), value };
      toLocalStorage(name, kept);
      unwritten.set(name, kept);
      void write();
    },
    removeItem: async (name) => {
      localStorage.removeItem(name);
      await del(name, database);
    },
  };
}

function inLocalStorage<State>(name: string): Kept<State> | undefined {
  try {
    return JSON.parse(localStorage.getItem(name) ?? '') as Kept<State>;
  } catch {
    return undefined; // there is nothing
  }
}

function toLocalStorage<State>(name: string, kept: Kept<State>): void {
  try {
    localStorage.setItem(name, JSON.stringify(kept));
  } catch {
    localStorage.removeItem(name); // no room: IndexedDB has more
  }
}
