import type { WordTiming } from '@chatterbox/client';
import { clsx } from 'clsx';
import { useEffect, useMemo, useRef } from 'react';
import { positionMs } from '@/audio/playback';
import { m } from '@/messages';
import { bringIntoView, darken, LINES_IN_VIEW, light } from './word-light';
import { begunAt, lettersOf, placeWords, type SpokenWord } from './word-places';

const LINGER_MS = 250; // a word stays lit through a short silence
const NO_WORD: SpokenWord = { start: 0, end: 0, startMs: 0, endMs: 0 };
const HANDS_OFF_MS = 4_000; // after somebody has scrolled

export interface SpokenTextProps {
  readonly text: string;
  /** Grows while sound arrives; the same object throughout. */
  readonly words: readonly WordTiming[];
  readonly isHeard: boolean;
  /** Given where one can jump. */
  readonly onSeek?: ((ms: number) => void) | undefined;
}

/** The text that is spoken, lit word for word as it is heard, in each frame without rendering. */
export function SpokenText({ text, words, isHeard, onSeek }: SpokenTextProps) {
  const letters = useMemo(() => lettersOf(text), [text]);
  const box = useRef<HTMLElement>(null);
  const scrolledAt = useRef(-HANDS_OFF_MS);

  useEffect(() => {
    const element = box.current;
    const shown = element?.firstChild;
    if (!isHeard || !(element && shown instanceof Text)) return;
    let placed: SpokenWord[] = [];
    let known = 0;
    let lit = '';
    const show = (): void => {
      if (words.length !== known) placed = placeWords(letters, words);
      known = words.length;
      const position = positionMs();
      const { start, end, endMs } = placed[begunAt(placed, position)] ?? NO_WORD;
      const from = position > endMs + LINGER_MS ? end : start;
      const next = `${from} ${end}`;
      if (next === lit) return;
      lit = next;
      light(shown, from, end);
      const isLeftAlone = performance.now() - scrolledAt.current > HANDS_OFF_MS;
      if (isLeftAlone) bringIntoView(element, shown, start, end);
    };
    let frame = requestAnimationFrame(function next() {
      show();
      frame = requestAnimationFrame(next);
    });
    return () => {
      cancelAnimationFrame(frame);
      darken();
    };
  }, [letters, words, isHeard]);

  const scrolled = (): void => {
    scrolledAt.current = performance.now();
  };
  const seek = (): void => {
    const pressed = getSelection();
    const isMarked = pressed?.isCollapsed === false; // to be copied
    if (!pressed || isMarked || pressed.anchorNode !== box.current?.firstChild) return;
    const at = pressed.anchorOffset;
    const word = placeWords(letters, words).find(({ start, end }) => start <= at && at <= end);
    if (word !== undefined) onSeek?.(word.startMs);
  };
  return (
    <div className="mt-3 rounded-xl bg-sunken px-4 py-3">
      <section
        ref={box}
        aria-label={m.speak.spokenText}
        title={onSeek && m.speak.spokenTextHint}
        data-testid="spoken-text"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: keys scroll it
        tabIndex={0}
        onClick={onSeek && seek}
        onWheel={scrolled}
        onTouchMove={scrolled}
        onKeyDown={scrolled}
        className={clsx(
          'overflow-y-auto scroll-smooth font-script text-[1.125rem] leading-relaxed whitespace-pre-wrap wrap-anywhere',
          isHeard && 'text-muted',
          onSeek && 'cursor-pointer',
        )}
        style={{ maxHeight: `${LINES_IN_VIEW}lh` }}
      >
        {text}
      </section>
    </div>
  );
}
