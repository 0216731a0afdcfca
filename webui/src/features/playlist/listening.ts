/** Playing the takes through, from anywhere. */

import { create } from 'zustand';
import { Peaks } from '@/audio/peaks';
import { play, positionMs, stopPlayback } from '@/audio/playback';
import { type Cue, reelStream } from './reel';

export const TRACK = 'playlist';

export interface Listening {
  readonly cues: readonly Cue[];
  readonly startMs: number;
}

export const useListening = create<Listening>(() => ({ cues: [], startMs: 0 }));

/** Plays on from a moment of the whole. */
export async function listen(cues: readonly Cue[], gapS: number, startMs: number): Promise<void> {
  if (cues.length === 0) return;
  useListening.setState({ cues, startMs });
  await play(TRACK, reelStream(cues, gapS, startMs));
}

export function stopListening(): void {
  stopPlayback();
}

/** Where in the whole the listener is. */
export function reelPositionMs(): number {
  return useListening.getState().startMs + positionMs();
}

/** The outline of the whole, drawn from the outlines of the takes. */
export function reelPeaks(cues: readonly Cue[]): Peaks {
  const rate = 100; // one sample for each step of 10 ms
  const peaks = new Peaks(rate);
  for (const { take, startMs, endMs } of cues) {
    const steps = Math.max(1, Math.round(((endMs - startMs) / 1_000) * rate));
    const sounding = Math.min(steps, Math.round((take.durationMs / 1_000) * rate));
    const outline = new Float32Array(steps);
    for (let step = 0; step < sounding; step += 1) {
      outline[step] = take.bars[Math.floor((step / sounding) * take.bars.length)] ?? 0;
    }
    peaks.add(outline);
  }
  return peaks;
}
