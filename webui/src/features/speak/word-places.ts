/** Where in a text the words are that a server timed. It tells them in order, as it has read them. */

import type { WordTiming } from '@chatterbox/client';

/** A word of the text, from `start` to before `end`, and when it is said. */
export interface SpokenWord {
  readonly start: number;
  readonly end: number;
  readonly startMs: number;
  readonly endMs: number;
}

/** The letters and digits of a text, folded as for a search, and where each of them stands. */
export interface Letters {
  readonly folded: string;
  readonly starts: readonly number[];
  readonly ends: readonly number[];
}

/** Brackets that are not read aloud; any others are text. */
const TAG = /\[(?:pause\b[^[\]\n]*|[a-z][\w.-]*)\]/gi;

// A word that is not where it should be is sought nearby, and farther away together with those that
// follow it: a whole utterance may have no times.
const NEAR = 12;
const FAR = 600;
const SURE = 8; // letters that do not recur by chance
const MOST_SKIPPED = 6; // words in a row that may not be in the text

export function lettersOf(text: string): Letters {
  const spoken = text.replace(TAG, (tag) => ' '.repeat(tag.length));
  let folded = '';
  const starts: number[] = [];
  const ends: number[] = [];
  let place = 0;
  for (const character of spoken) {
    const end = place + character.length;
    const letters = fold(character);
    folded += letters;
    for (let index = 0; index < letters.length; index += 1) {
      starts.push(place);
      ends.push(end);
    }
    if (/\p{M}/u.test(character) && ends.length > 0) ends[ends.length - 1] = end;
    place = end;
  }
  return { folded, starts, ends };
}

/** The words that are in the text, in order. Those that it writes in another way are left out. */
export function placeWords(letters: Letters, words: readonly WordTiming[]): SpokenWord[] {
  const read = words.map(({ word }) => lettersOf(word).folded);
  const placed: SpokenWord[] = [];
  let from = 0;
  for (let index = 0; index < read.length; index += 1) {
    const next = nearest(letters, read, index, from);
    if (next === undefined) continue;
    index = next.index;
    const { startMs = 0, endMs = 0 } = words[index] ?? {};
    from = next.at + (read[index]?.length ?? 0);
    const start = letters.starts[next.at] ?? 0;
    placed.push({ start, end: letters.ends[from - 1] ?? start, startMs, endMs });
  }
  return placed;
}

/** The place among the words of the last one that has begun; -1 before the first. */
export function begunAt(words: readonly SpokenWord[], positionMs: number): number {
  return words.findLastIndex(({ startMs }) => startMs <= positionMs);
}

function fold(character: string): string {
  return character
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]/gu, '');
}

interface Found {
  readonly index: number;
  readonly at: number;
}

/** The next word that is in the text: the one for which the fewest letters are skipped on both sides. */
function nearest(
  letters: Letters,
  read: readonly string[],
  first: number,
  from: number,
): Found | undefined {
  let best: Found | undefined;
  let leastSkipped = FAR;
  let skipped = 0; // letters of words
  const last = Math.min(first + MOST_SKIPPED, read.length - 1);
  for (let index = first; index <= last && skipped < leastSkipped; index += 1) {
    const word = read[index] ?? '';
    const at = whereIs(letters, read, index, from, leastSkipped - skipped);
    if (at !== undefined) {
      best = { index, at };
      leastSkipped = at - from + skipped;
    }
    skipped += word.length;
  }
  return best;
}

function whereIs(
  letters: Letters,
  read: readonly string[],
  index: number,
  from: number,
  within: number,
): number | undefined {
  const word = read[index] ?? '';
  if (word === '') return undefined;
  const near = search(letters, word, from, Math.min(within, NEAR));
  if (near !== undefined) return near;
  const phrase = phraseFrom(read, index);
  return phrase.length < SURE ? undefined : search(letters, phrase, from, within);
}

/** A word and those behind it, until there are letters enough to be sure of the place. */
function phraseFrom(read: readonly string[], first: number): string {
  let phrase = '';
  for (let index = first; index < read.length && phrase.length < SURE; index += 1) {
    phrase += read[index];
  }
  return phrase;
}

/** Where whole words begin that have these letters, less than `within` letters away. */
function search(
  letters: Letters,
  sought: string,
  from: number,
  within: number,
): number | undefined {
  const window = letters.folded.slice(from, from + within + sought.length - 1);
  for (let at = window.indexOf(sought); at !== -1; at = window.indexOf(sought, at + 1)) {
    if (isEdge(letters, from + at) && isEdge(letters, from + at + sought.length)) return from + at;
  }
  return undefined;
}

/** Whether something stands between this letter and the one before it. */
function isEdge({ starts, ends }: Letters, at: number): boolean {
  const [before, start] = [ends[at - 1], starts[at]];
  return before === undefined || start === undefined || start > before;
}
