import { usePlayback } from './playback';

/**
 * Calls `heard` when the first sample of a track leaves the speaker; never once something else has
 * taken its place, or after the returned function was called.
 */
export function onFirstSound(track: string, heard: () => void): () => void {
  let hasBegun = false;
  const unwatch = usePlayback.subscribe(({ trackId, phase }) => {
    if (trackId !== track) {
      if (hasBegun) unwatch();
      return;
    }
    hasBegun = true;
    if (phase !== 'playing') return;
    unwatch();
    heard();
  });
  return unwatch;
}
