/** Sounds that are kept in this browser, by id: 16-bit samples and their rate. */

import type { Pcm, WordTiming } from '@chatterbox/client';
import { createStore, del, delMany, get, set } from 'idb-keyval';

export interface Sound extends Pcm<Int16Array<ArrayBuffer>> {
  /** When its words are said, where the model told. */
  readonly words?: readonly WordTiming[];
}

const store = createStore('chatterbox-sounds', 'sounds');

export async function keepSound(id: string, sound: Sound): Promise<void> {
  await set(id, sound, store);
}

export async function loadSound(id: string): Promise<Sound | undefined> {
  return get<Sound>(id, store);
}

export async function dropSound(id: string): Promise<void> {
  await del(id, store);
}

export async function dropSounds(ids: readonly string[]): Promise<void> {
  await delMany([...ids], store);
}
