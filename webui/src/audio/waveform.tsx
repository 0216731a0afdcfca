import { clsx } from 'clsx';
import { type KeyboardEvent, type PointerEvent, useCallback, useEffect, useRef } from 'react';
import { clock } from '@/lib/format';
import { type Peaks, STEP_MS } from './peaks';

export interface WaveformProps {
  readonly label: string;
  readonly peaks: Peaks | undefined;
  /** How long the sound will be, as far as one can tell while it arrives. */
  readonly expectedMs: number;
  /** Redrawn in every frame while sound arrives or is played. */
  readonly isMoving: boolean;
  readonly isComplete: boolean;
  readonly positionMs: () => number;
  /** Given where one can jump. */
  readonly onSeek?: ((ms: number) => void) | undefined;
  readonly className?: string;
}

const BAR_PX = 3;
const PITCH_PX = 5;
const LEAST_PX = 3;
const KEY_STEP_MS = 2_000;

interface Colours {
  readonly heard: string;
  readonly unheard: string;
  readonly expected: string;
}

/** Bars of what has come, dots for what is expected, in colour as far as it was heard. */
export function Waveform(props: WaveformProps) {
  const { label, peaks, expectedMs, isMoving, isComplete, positionMs, onSeek, className } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const slider = useRef<HTMLDivElement>(null);
  const length = useCallback(
    () => (isComplete && peaks ? peaks.durationMs : Math.max(expectedMs, peaks?.durationMs ?? 0)),
    [isComplete, peaks, expectedMs],
  );

  const draw = useCallback(() => {
    const element = canvas.current;
    if (element === null) return;
    paint(element, peaks, length(), positionMs());
    const at = Math.min(positionMs(), length());
    slider.current?.setAttribute('aria-valuenow', String(Math.round(at / 1_000)));
    slider.current?.setAttribute('aria-valuetext', `${clock(at)} of ${clock(length())}`);
  }, [peaks, length, positionMs]);

  useEffect(() => {
    draw();
    if (!isMoving) return;
    let frame = requestAnimationFrame(function next() {
      draw();
      frame = requestAnimationFrame(next);
    });
    return () => cancelAnimationFrame(frame);
  }, [draw, isMoving]);

  useEffect(() => {
    if (canvas.current === null) return;
    const sizes = new ResizeObserver(draw);
    sizes.observe(canvas.current);
    const themes = new MutationObserver(draw);
    themes.observe(document.documentElement, { attributeFilter: ['data-theme'] });
    return () => {
      sizes.disconnect();
      themes.disconnect();
    };
  }, [draw]);

  const picture = <canvas ref={canvas} aria-hidden className="block size-full" />;
  if (onSeek === undefined) return <div className={clsx('h-14', className)}>{picture}</div>;

  const press = (event: PointerEvent<HTMLDivElement>): void => {
    const box = event.currentTarget.getBoundingClientRect();
    onSeek(Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * length());
  };
  const key = (event: KeyboardEvent): void => {
    const step = { ArrowLeft: -KEY_STEP_MS, ArrowRight: KEY_STEP_MS }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    onSeek(Math.max(0, Math.min(length() - STEP_MS, positionMs() + step)));
  };
  return (
    <div
      ref={slider}
      role="slider"
      tabIndex={0}
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={Math.round(length() / 1_000)}
      aria-valuenow={0}
      onPointerDown={press}
      onKeyDown={key}
      className={clsx('h-14 cursor-pointer rounded-md', className)}
    >
      {picture}
    </div>
  );
}

function paint(
  element: HTMLCanvasElement,
  peaks: Peaks | undefined,
  lengthMs: number,
  positionMs: number,
): void {
  const { clientWidth: width, clientHeight: height } = element;
  const context = element.getContext('2d');
  if (context === null || width === 0) return;
  const ratio = window.devicePixelRatio || 1;
  const [pixelWidth, pixelHeight] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (element.width !== pixelWidth || element.height !== pixelHeight) {
    element.width = pixelWidth;
    element.height = pixelHeight;
  }
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  const colours = coloursOf(element);
  const bars = Math.max(1, Math.floor(width / PITCH_PX));
  const stepsPerBar = Math.max(lengthMs, STEP_MS) / STEP_MS / bars;
  const heardBars = lengthMs > 0 ? (positionMs / lengthMs) * bars : 0;
  const arrived = peaks?.length ?? 0;
  for (let bar = 0; bar < bars; bar += 1) {
    const from = Math.floor(bar * stepsPerBar);
    const isThere = from < arrived;
    const to = Math.max(from + 1, Math.floor((bar + 1) * stepsPerBar));
    const peak = isThere ? (peaks?.between(from, to) ?? 0) : 0;
    // Raised, so that quiet speech shows, too.
    const size = isThere ? Math.max(LEAST_PX, Math.min(1, peak ** 0.7 * 1.15) * height) : LEAST_PX;
    context.fillStyle = !isThere
      ? colours.expected
      : bar < heardBars
        ? colours.heard
        : colours.unheard;
    context.beginPath();
    context.roundRect(bar * PITCH_PX, (height - size) / 2, BAR_PX, size, BAR_PX / 2);
    context.fill();
  }
}

function coloursOf(element: HTMLElement): Colours {
  const style = getComputedStyle(element);
  const colour = (name: string): string => style.getPropertyValue(name).trim();
  return {
    heard: colour('--accent'),
    unheard: colour('--line-strong'),
    expected: colour('--line'),
  };
}
