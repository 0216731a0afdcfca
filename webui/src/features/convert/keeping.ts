/** What the screen keeps in this browser through reloads: one source, and what was made of it. */

import { createStore, del, get, set } from 'idb-keyval';
import type { Sound } from '@/speech/sounds';

export interface Kept {
  readonly source: File;
  readonly result: { readonly voice: string; readonly sound: Sound };
}

const store = createStore('chatterbox-convert', 'recordings');

export async function keep<Key extends keyof Kept>(key: Key, value: Kept[Key]): Promise<void> {
  await set(key, value, store).catch(() => undefined); // a full disk must silence nobody
}

export async function kept<Key extends keyof Kept>(key: Key): Promise<Kept[Key] | undefined> {
  return await get<Kept[Key]>(key, store).catch(() => undefined);
}

export async function forget(key: keyof Kept): Promise<void> {
  await del(key, store).catch(() => undefined);
}
