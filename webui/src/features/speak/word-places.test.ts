import { describe, expect, test } from 'vitest';
import { begunAt, lettersOf, placeWords } from './word-places';

/** What of the text is lit, word for word, when these words are timed. */
function lit(text: string, words: readonly string[]): string[] {
  return placed(text, words).map(({ start, end }) => text.slice(start, end));
}

function placed(text: string, words: readonly string[]) {
  const timed = words.map((word, index) => ({
    word,
    startMs: index * 100,
    endMs: index * 100 + 80,
    segmentIndex: 0,
  }));
  return placeWords(lettersOf(text), timed);
}

describe('words as they were written', () => {
  test('are found in order, without the marks at them', () => {
    const words = ['Hello,', 'world!', '"Yes."'];
    expect(lit('Hello, world! "Yes."', words)).toEqual(['Hello', 'world', 'Yes']);
    expect(placed('Hello, world!', words)[1]).toEqual({
      start: 7,
      end: 12,
      startMs: 100,
      endMs: 180,
    });
  });

  test('are each their own where they are repeated', () => {
    const text = 'No, no, no: the cat saw the other cat.';
    const starts = placed(text, text.split(' ')).map(({ start }) => start);
    expect(starts).toEqual([0, 4, 8, 12, 16, 20, 24, 28, 34]);
  });

  test('are not found inside other words', () => {
    expect(placed('Cats and a cat', ['a', 'cat']).map(({ start }) => start)).toEqual([9, 11]);
  });

  test('are whole with hyphens, apostrophes and figures in them', () => {
    const text = 'The well-known don’t cost 1,999.50 at 10:30.';
    expect(lit(text, text.split(' '))).toEqual([
      'The',
      'well-known',
      'don’t',
      'cost',
      '1,999.50',
      'at',
      '10:30',
    ]);
  });

  test('are whole with accents, in one character or in two', () => {
    const decomposed = 'The café is naïve'.normalize('NFD');
    expect(lit(decomposed, ['The', 'café', 'is', 'naïve'])).toEqual(decomposed.split(' '));
  });
});

describe('what the server wrote in another way', () => {
  test('quotes, dashes, spaces and capitals make no difference', () => {
    const text = '“it’s late”—she said …\n\nand   left';
    const read = ['"It\'s', 'late"', '-', 'she', 'said,', 'and', 'left.'];
    expect(lit(text, read)).toEqual(['it’s', 'late', 'she', 'said', 'and', 'left']);
    expect(lit(text, ['"It\'s', 'late"-she', 'said', 'and', 'left.'])).toEqual([
      'it’s',
      'late”—she',
      'said',
      'and',
      'left',
    ]);
  });

  test('numbers in words are skipped, and what follows is found', () => {
    const read = 'On the third of May nineteen ninety nine it cost five pounds.'.split(' ');
    expect(lit('On the 3rd of May 1999 it cost £5.', read)).toEqual([
      'On',
      'the',
      'of',
      'May',
      'it',
      'cost',
    ]);
  });

  test('a word that only the server has leads nowhere else', () => {
    const text = 'I have 5 apples and five pears.';
    const read = ['I', 'have', 'five', 'apples', 'and', 'five', 'pears.'];
    expect(placed(text, read).map(({ start }) => start)).toEqual([0, 2, 9, 16, 20, 25]);
  });

  test('an utterance without times is passed over', () => {
    const untimed = 'Dr. Smith of 5th St. had nothing whatever to say about any of that. ';
    const text = `It begins here. ${untimed}And here it goes on to its end.`;
    const read = 'It begins here. And here it goes on to its end.'.split(' ');
    const found = placed(text, read);
    expect(found).toHaveLength(read.length);
    expect(found[3]?.start).toBe(text.indexOf('And here'));
  });

  test('nothing is found in a text that is another one', () => {
    expect(lit('Something quite different.', ['Not', 'a', 'word', 'of', 'it.'])).toEqual([]);
    expect(lit('', ['Hello.'])).toEqual([]);
    expect(lit('Hello.', [])).toEqual([]);
  });
});

describe('what is not said', () => {
  test('tags are no words', () => {
    const text = 'Wait.[pause:500ms]Now [pause: 1.5s] laugh [laugh], then [LAUGH] again.';
    const read = ['Wait.', 'Now', 'laugh', 'then', 'again.'];
    expect(lit(text, read)).toEqual(['Wait', 'Now', 'laugh', 'then', 'again']);
    expect(placed('[sigh] I sigh', ['[sigh]', 'I', 'sigh']).map(({ start }) => start)).toEqual([
      7, 9,
    ]);
  });

  test('other brackets are text', () => {
    const text = 'It is [as he put it] true [1].';
    expect(lit(text, text.split(' '))).toEqual(['It', 'is', 'as', 'he', 'put', 'it', 'true', '1']);
  });

  test('emoji and dashes have no light, and cut nothing in half', () => {
    const text = 'Party 🎉🎉 time – now👍🏽!';
    expect(lit(text, ['Party', '🎉🎉', 'time', '–', 'now👍🏽!'])).toEqual(['Party', 'time', 'now']);
    expect(lit(text, ['Party', 'time', 'now.'])).toEqual(['Party', 'time', 'now']);
  });
});

test('words that come later change nothing about the first', () => {
  const text = 'This sentence is one of many, and this sentence is another of them. '.repeat(20);
  const words = text.trim().split(' ');
  const all = placed(text, words);
  expect(all).toHaveLength(words.length);
  for (const count of [1, 7, 50]) {
    expect(placed(text, words.slice(0, count))).toEqual(all.slice(0, count));
  }
});

test('a long text is placed in no time', () => {
  const text = 'Some words that nobody counts, 7 of them in vain. '.repeat(2_000);
  const words = text.trim().replaceAll('7', 'seven').split(' ');
  const before = performance.now();
  expect(placed(text, words)).toHaveLength(words.length - 2_000);
  expect(performance.now() - before).toBeLessThan(2_000);
});

test('tells which word has begun', () => {
  const words = placed('One two three', ['One', 'two', 'three']);
  const at = (ms: number): number => begunAt(words, ms);
  expect([-1, 0, 99, 100, 5_000].map(at)).toEqual([-1, 0, 0, 1, 2]);
  expect(begunAt([], 10)).toBe(-1);
});
