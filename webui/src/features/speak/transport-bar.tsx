import { Pause, Play, Volume2 } from 'lucide-react';
import { useEffect, useRef } from 'react';
import { isPlaying, pause, positionMs, resume, usePlayback } from '@/audio/playback';
import { Waveform } from '@/audio/waveform';
import { Figure } from '@/components/figure';
import { StartStop } from '@/components/start-stop';
import { Button, IconButton } from '@/components/ui/button';
import { ErrorNotice, Notice } from '@/components/ui/notice';
import { clock, wait } from '@/lib/format';
import { m } from '@/messages';
import { MAX_CHARACTERS } from '@/speech/speech-settings';
import { useSpeechStore } from '@/speech/speech-store';
import { DownloadMenu } from './download-menu';
import { isUnderWay, replay, type Session, speak, stop, useSession } from './session';
import { SpokenText } from './spoken-text';

/** Speak, stop, and what is heard meanwhile. */
export function TransportBar() {
  const session = useSession();
  const playback = usePlayback();
  const canSpeak = useSpeechStore(
    ({ text }) => text.trim() !== '' && text.length <= MAX_CHARACTERS,
  );
  const isMine = playback.trackId !== undefined && playback.trackId === session.id;
  const isHeard = isMine && (isPlaying(playback) || playback.phase === 'paused');
  const isBusy = isUnderWay(session) || isHeard;
  const start = (): void => {
    const { text, settings } = useSpeechStore.getState();
    void speak(text, settings);
  };
  const isComplete =
    session.peaks !== undefined && !isUnderWay(session) && session.state !== 'empty';
  const { id } = session;
  const seek =
    isComplete && id ? (ms: number) => void replay(id, ms).catch(() => undefined) : undefined;

  return (
    <section
      aria-label={m.speak.play}
      className="rounded-2xl border border-line bg-surface p-3 sm:p-4"
    >
      <div className="flex items-center gap-3">
        <StartStop
          testId="speak"
          isBusy={isBusy}
          canStart={canSpeak}
          className="w-32"
          onStart={start}
          onStop={stop}
        >
          <Volume2 size={18} aria-hidden />
          {m.speak.speak}
        </StartStop>
        <PlayPause session={session} isMine={isMine} />
        <Waveform
          label={m.speak.waveform}
          className="min-w-0 grow"
          peaks={session.peaks}
          expectedMs={session.expectedMs}
          isComplete={isComplete}
          isMoving={isBusy}
          positionMs={isMine ? positionMs : atStart}
          onSeek={seek}
        />
        <Position session={session} isMine={isMine} />
      </div>
      {session.words !== undefined && (
        <SpokenText
          key={id}
          text={session.text}
          words={session.words}
          isHeard={isHeard}
          onSeek={seek}
        />
      )}
      <div className="mt-2.5 flex min-h-8 flex-wrap items-center gap-x-5 gap-y-1 text-sm">
        <p role="status" data-testid="status" className="min-w-24 font-medium">
          {statusOf(session, isMine ? playback.phase : 'idle')}
        </p>
        <Figures session={session} underruns={isMine ? playback.underrunCount : undefined} />
        <span className="grow" />
        <DownloadMenu session={session} />
      </div>
      <div className="space-y-2 empty:hidden">
        {session.error !== undefined && session.state === 'failed' && (
          <ErrorNotice
            error={session.error}
            action={
              <Button size="small" onClick={start} disabled={!canSpeak}>
                {m.app.retry}
              </Button>
            }
          />
        )}
        {session.warnings.length > 0 && (
          <Notice
            tone="warning"
            title={m.speak.warnings}
            advice={[...new Set(session.warnings)].join(' · ')}
          />
        )}
      </div>
    </section>
  );
}

function atStart(): number {
  return 0;
}

function statusOf(session: Session, phase: string): string {
  if (session.state === 'waiting') return m.speak.waiting;
  if (phase === 'paused') return m.speak.paused;
  if (session.state === 'speaking') return m.speak.speaking;
  if (session.state === 'failed') return m.speak.failed;
  if (phase === 'playing' || phase === 'buffering') return m.speak.playing;
  if (session.state === 'stopped') return m.speak.stopped;
  return session.state === 'complete' ? m.speak.done : m.speak.ready;
}

/** Pause and go on while there is sound; play again afterwards. */
function PlayPause({ session, isMine }: { readonly session: Session; readonly isMine: boolean }) {
  const playback = usePlayback();
  const { id, peaks } = session;
  if (isMine && isPlaying(playback)) {
    return (
      <IconButton label={m.speak.pause} onClick={pause}>
        <Pause size={17} aria-hidden />
      </IconButton>
    );
  }
  const isPaused = isMine && playback.phase === 'paused';
  const isThere = id !== undefined && peaks !== undefined && peaks.length > 0;
  return (
    <IconButton
      label={isPaused ? m.speak.play : m.speak.replay}
      disabled={!isPaused && (!isThere || isUnderWay(session))}
      onClick={() => void (isPaused ? resume() : id && replay(id))}
    >
      <Play size={17} aria-hidden />
    </IconButton>
  );
}

/** The clock, written to the page in each frame without rendering anything else. */
function Position({ session, isMine }: { readonly session: Session; readonly isMine: boolean }) {
  const shown = useRef<HTMLSpanElement>(null);
  const { peaks, expectedMs, state } = session;
  const isSure = state !== 'waiting' && state !== 'speaking';
  useEffect(() => {
    const show = (): void => {
      if (shown.current === null) return;
      const length = isSure
        ? (peaks?.durationMs ?? 0)
        : Math.max(expectedMs, peaks?.durationMs ?? 0);
      const at = isMine ? Math.min(positionMs(), length) : 0;
      shown.current.textContent = `${clock(at)} / ${isSure ? '' : '~'}${clock(length)}`;
    };
    show();
    if (!isMine) return;
    const timer = setInterval(show, 200);
    return () => clearInterval(timer);
  }, [peaks, expectedMs, isSure, isMine]);
  return (
    <span
      ref={shown}
      className="tabular hidden w-24 shrink-0 text-right text-sm text-muted sm:block"
    />
  );
}

function Figures({
  session,
  underruns,
}: {
  readonly session: Session;
  readonly underruns: number | undefined;
}) {
  const last = useRef<{ id: string | undefined; count: number | undefined }>({
    id: undefined,
    count: undefined,
  });
  if (last.current.id !== session.id) last.current = { id: session.id, count: undefined };
  if (underruns !== undefined) last.current.count = underruns;
  const { firstSoundMs, realTimeFactor, summary } = session;
  return (
    <dl className="flex flex-wrap gap-x-5 gap-y-1 text-muted" data-testid="figures">
      <Figure
        name={m.speak.firstSound}
        hint={
          summary
            ? m.speak.firstSoundSplit(wait(summary.timeToFirstAudioMs))
            : m.speak.firstSoundHint
        }
        value={firstSoundMs === undefined ? '–' : wait(firstSoundMs)}
      />
      <Figure
        name={m.speak.realTimeFactor}
        hint={m.speak.realTimeFactorHint}
        value={realTimeFactor === undefined ? '–' : realTimeFactor.toFixed(2)}
      />
      <Figure
        name={m.speak.underruns}
        hint={m.speak.underrunsHint}
        value={String(last.current.count ?? (session.id ? 0 : '–'))}
      />
    </dl>
  );
}
