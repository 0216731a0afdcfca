import { useEffect, useState } from 'react';
import { isPlaying, usePlayback } from '@/audio/playback';
import { reelPositionMs, TRACK, useListening } from './listening';

const LOOK_MS = 150;

/** The id of the take that is heard. */
export function useCurrentTake(): string | undefined {
  const isHeard = usePlayback((playback) => playback.trackId === TRACK && isPlaying(playback));
  const cues = useListening((listening) => listening.cues);
  const [current, setCurrent] = useState<string | undefined>();
  useEffect(() => {
    if (!isHeard) {
      setCurrent(undefined);
      return;
    }
    const look = (): void => {
      const at = reelPositionMs();
      setCurrent(cues.find(({ endMs }) => endMs > at)?.take.id);
    };
    look();
    const timer = setInterval(look, LOOK_MS);
    return () => clearInterval(timer);
  }, [isHeard, cues]);
  return current;
}
