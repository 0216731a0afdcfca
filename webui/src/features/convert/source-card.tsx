import type { ReactNode } from 'react';
import { play } from '@/audio/playback';
import { RecordingSource } from '@/components/recording-source';
import { Button } from '@/components/ui/button';
import { Notice } from '@/components/ui/notice';
import { complain } from '@/components/ui/toast';
import { m } from '@/messages';
import { SoundPlayer } from './sound-player';
import { isSmallEnough, type ReadySource, type Source } from './source-store';
import { TitledCard } from './titled-card';

const TRACK = 'convert-source';
const BRIEF = { leastMs: 500, mostMs: 120_000 };

/** What is to be converted: chosen, dropped or recorded, and heard. */
export function SourceCard({
  source,
  onTake,
  onDrop,
}: {
  readonly source: Source;
  readonly onTake: (file: File) => void;
  readonly onDrop: () => void;
}) {
  return (
    <TitledCard
      title={m.convert.source}
      note={source.kind === 'none' ? undefined : source.file.name}
    >
      {source.kind === 'none' && <RecordingSource brief={BRIEF} onRecording={onTake} />}
      {source.kind === 'reading' && <Notice tone="info" title={m.convert.reading} />}
      {source.kind === 'ready' && (
        <Ready
          source={source}
          action={
            <Button size="small" onClick={onDrop}>
              {m.recording.again}
            </Button>
          }
        />
      )}
    </TitledCard>
  );
}

function Ready({ source, action }: { readonly source: ReadySource; readonly action: ReactNode }) {
  const { sound } = source;
  const isTooLarge = !isSmallEnough(source);
  return (
    <>
      {isTooLarge && (
        <Notice tone="danger" title={m.convert.tooLarge} advice={m.convert.tooLargeAdvice} />
      )}
      {sound === undefined && !isTooLarge && (
        <Notice tone="info" title={m.convert.unplayable} advice={m.convert.unplayableAdvice} />
      )}
      {sound === undefined ? (
        <div className="mt-auto">{action}</div>
      ) : (
        <SoundPlayer
          name={m.convert.source}
          trackId={TRACK}
          peaks={sound.peaks}
          expectedMs={sound.peaks.durationMs}
          isComplete
          action={action}
          onPlay={(startMs) => void play(TRACK, sound, { startMs }).catch(complain)}
        />
      )}
    </>
  );
}
