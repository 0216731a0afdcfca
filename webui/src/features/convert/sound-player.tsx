import { Pause, Play } from 'lucide-react';
import { type ReactNode, useEffect, useRef } from 'react';
import type { Peaks } from '@/audio/peaks';
import { isPlaying, pause, positionMs, resume, usePlayback } from '@/audio/playback';
import { Waveform } from '@/audio/waveform';
import { IconButton } from '@/components/ui/button';
import { clock } from '@/lib/format';
import { m } from '@/messages';

export interface SoundPlayerProps {
  /** What is played, for its buttons. */
  readonly name: string;
  readonly trackId: string | undefined;
  readonly peaks: Peaks | undefined;
  readonly expectedMs: number;
  readonly isComplete: boolean;
  readonly action: ReactNode;
  readonly onPlay: (startMs: number) => void;
}

/** A sound that is there or still comes: its outline, play and pause, and where one is in it. */
export function SoundPlayer(props: SoundPlayerProps) {
  const { name, trackId, peaks, expectedMs, isComplete, action, onPlay } = props;
  const playback = usePlayback();
  const isMine = trackId !== undefined && playback.trackId === trackId;
  const isHeard = isMine && isPlaying(playback);
  const isPaused = isMine && playback.phase === 'paused';
  const arrivedMs = peaks?.durationMs ?? 0;
  const lengthMs = isComplete ? arrivedMs : Math.max(expectedMs, arrivedMs);
  const press = (): void => {
    if (isHeard) pause();
    else if (isPaused) void resume();
    else onPlay(0);
  };
  return (
    <div className="flex grow flex-col gap-3">
      <Waveform
        label={m.convert.waveform(name)}
        className="min-h-24 grow"
        peaks={peaks}
        expectedMs={expectedMs}
        isComplete={isComplete}
        isMoving={isHeard || !isComplete}
        positionMs={isMine ? positionMs : atStart}
        onSeek={isComplete && peaks !== undefined ? onPlay : undefined}
      />
      <div className="flex items-center gap-2 sm:gap-3">
        <IconButton
          label={isHeard ? m.convert.pause(name) : m.convert.play(name)}
          disabled={peaks === undefined}
          onClick={press}
          className="!h-10 !w-10 !rounded-full border !border-line"
        >
          {isHeard ? <Pause size={17} aria-hidden /> : <Play size={17} aria-hidden />}
        </IconButton>
        <Position lengthMs={lengthMs} isMine={isMine} />
        {action}
      </div>
    </div>
  );
}

function atStart(): number {
  return 0;
}

/** The clock, written to the page while it runs without rendering anything else. */
function Position({ lengthMs, isMine }: { readonly lengthMs: number; readonly isMine: boolean }) {
  const shown = useRef<HTMLParagraphElement>(null);
  useEffect(() => {
    const show = (): void => {
      const at = isMine ? Math.min(positionMs(), lengthMs) : 0;
      if (shown.current !== null) shown.current.textContent = `${clock(at)} / ${clock(lengthMs)}`;
    };
    show();
    if (!isMine) return;
    const timer = setInterval(show, 200);
    return () => clearInterval(timer);
  }, [lengthMs, isMine]);
  return <p ref={shown} className="tabular grow text-sm whitespace-nowrap text-muted" />;
}
