/** Finding voices by what is written about them. */

import type { Voice } from '@chatterbox/client';
import { languageName } from '@/lib/format';

/** Whether every word that is sought is somewhere in what is told of a voice. */
export function matches(voice: Voice, sought: string): boolean {
  const told = [
    voice.id,
    voice.displayName,
    voice.description,
    voice.languageCode,
    languageName(voice.languageCode),
    voice.gender,
  ]
    .join(' ')
    .toLowerCase();
  return sought
    .toLowerCase()
    .split(/\s+/)
    .every((word) => told.includes(word));
}
