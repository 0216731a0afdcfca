import { cleanup, fireEvent, render, screen } from '@testing-library/react';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { SpokenText } from './spoken-text';

const page = vi.hoisted(() => {
  const highlights = new Map<string, Set<Range>>();
  vi.stubGlobal(
    'Highlight',
    class extends Set<Range> {
      constructor(...ranges: readonly Range[]) {
        super(ranges);
      }
    },
  );
  vi.stubGlobal('CSS', { highlights });
  return { highlights, positionMs: 0 };
});

vi.mock('@/audio/playback', () => ({ positionMs: () => page.positionMs }));

const TEXT = 'Hello, small world.';
const WORDS = ['Hello,', 'small', 'world.'].map((word, index) => ({
  word,
  startMs: 1_000 * index,
  endMs: 1_000 * index + 500,
  segmentIndex: 0,
}));
const LINE_PX = 20;
const APART = 5; // lines between two words

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
  // The box shows four lines.
  vi.spyOn(Element.prototype, 'getBoundingClientRect').mockReturnValue(
    new DOMRect(0, 0, 90, 4 * LINE_PX),
  );
  vi.spyOn(Range.prototype, 'getBoundingClientRect').mockImplementation(function (this: Range) {
    const line = APART * (TEXT.slice(0, this.startOffset).split(' ').length - 1);
    return new DOMRect(0, line * LINE_PX, 90, LINE_PX);
  });
});
afterEach(() => {
  cleanup();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

function show(onSeek?: (ms: number) => void): HTMLElement {
  render(<SpokenText text={TEXT} words={WORDS} isHeard onSeek={onSeek} />);
  return screen.getByTestId('spoken-text');
}

async function hear(positionMs: number): Promise<void> {
  page.positionMs = positionMs;
  await vi.advanceTimersByTimeAsync(50);
}

function lit(name: string): string {
  return [...(page.highlights.get(name) ?? [])].join('');
}

/** Where somebody has clicked: a caret, or marked text. */
function select(box: HTMLElement, from: number, to: number): void {
  const { firstChild } = box;
  if (firstChild !== null) getSelection()?.setBaseAndExtent(firstChild, from, firstChild, to);
  fireEvent.click(box);
}

test('lights the word that is heard, and gives it back to the text when it is over', async () => {
  show();
  await hear(0);
  expect([lit('heard'), lit('heard-now')]).toEqual(['', 'Hello']);
  await hear(700); // a short silence changes nothing
  expect(lit('heard-now')).toBe('Hello');
  await hear(900);
  expect([lit('heard'), lit('heard-now')]).toEqual(['Hello', '']);
  await hear(2_100);
  expect([lit('heard'), lit('heard-now')]).toEqual(['Hello, small ', 'world']);
  await hear(0); // as after a jump
  expect(lit('heard-now')).toBe('Hello');
  cleanup();
  expect(page.highlights.size).toBe(0);
});

test('lights words that become known while it plays', async () => {
  const words = WORDS.slice(0, 1);
  render(<SpokenText text={TEXT} words={words} isHeard />);
  await hear(1_100);
  expect(lit('heard-now')).toBe('');
  words.push(...WORDS.slice(1));
  await hear(1_100);
  expect(lit('heard-now')).toBe('small');
});

test('scrolls its box to the word, but not while somebody scrolls', async () => {
  const box = show();
  await hear(0);
  expect(box.scrollTop).toBe(0);
  fireEvent.wheel(box);
  await hear(1_100);
  expect(box.scrollTop).toBe(0);
  await vi.advanceTimersByTimeAsync(5_000);
  await hear(2_100);
  expect(box.scrollTop).toBe((2 * APART - 1) * LINE_PX); // the second line that is seen
});

test('a click on a word plays from there, marking text does not', () => {
  const onSeek = vi.fn();
  const box = show(onSeek);
  select(box, 9, 9);
  expect(onSeek.mock.calls).toEqual([[1_000]]);
  select(box, 7, 12);
  expect(onSeek).toHaveBeenCalledTimes(1);
});
