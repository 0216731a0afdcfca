import { Link } from '@tanstack/react-router';
import { Download, FilePlus2, Play, Plus, Square, WandSparkles } from 'lucide-react';
import { useCallback, useMemo, useState } from 'react';
import { isPlaying, usePlayback } from '@/audio/playback';
import { Waveform } from '@/audio/waveform';
import { Button } from '@/components/ui/button';
import { Confirm } from '@/components/ui/confirm';
import { Empty } from '@/components/ui/empty';
import { Menu } from '@/components/ui/menu';
import { PageHeader } from '@/components/ui/page';
import { complain } from '@/components/ui/toast';
import { clock } from '@/lib/format';
import { useVoices } from '@/lib/queries';
import { m } from '@/messages';
import { useSpeechStore } from '@/speech/speech-store';
import { Cutter } from './cutter';
import { listen, reelPeaks, reelPositionMs, stopListening, TRACK } from './listening';
import { addTakes, changePlaylist, clearPlaylist, missing, usePlaylist } from './playlist-store';
import { generate, stopProduction, useProduction } from './production';
import { cues, exportJoined, exportZip } from './reel';
import { TakeRow } from './take-row';
import { useCurrentTake } from './use-current-take';

export default function PlaylistPage() {
  const { title, takes } = usePlaylist();
  const [isAsking, setIsAsking] = useState(false);
  const currentId = useCurrentTake();
  return (
    <>
      <PageHeader
        title={m.screens.playlist}
        intro={m.playlist.intro}
        actions={
          takes.length > 0 && (
            <Button onClick={() => setIsAsking(true)}>
              <FilePlus2 size={16} aria-hidden />
              {m.playlist.clear}
            </Button>
          )
        }
      />
      {takes.length === 0 ? (
        <>
          <Cutter />
          <div className="mt-4">
            <Empty title={m.playlist.empty} advice={m.playlist.emptyAdvice} />
          </div>
        </>
      ) : (
        <>
          <input
            value={title}
            maxLength={100}
            aria-label={m.playlist.title}
            placeholder={m.playlist.untitled}
            onChange={(event) => changePlaylist({ title: event.target.value })}
            className="mb-3 w-full rounded-lg bg-transparent px-1 font-script text-xl placeholder:text-muted"
          />
          <Desk />
          <ol aria-label={m.playlist.takes} className="mt-4 space-y-2">
            {takes.map((take, index) => (
              <TakeRow key={take.id} take={take} index={index} isCurrent={take.id === currentId} />
            ))}
          </ol>
          <Button look="quiet" className="mt-2 w-full" onClick={() => addTakes([''])}>
            <Plus size={16} aria-hidden />
            {m.playlist.add}
          </Button>
        </>
      )}
      <Confirm
        isOpen={isAsking}
        title={m.playlist.clear}
        advice={m.playlist.clearAsk}
        action={m.playlist.clear}
        onConfirm={() => {
          stopProduction();
          if (usePlayback.getState().trackId === TRACK) stopListening();
          clearPlaylist();
        }}
        onClose={() => setIsAsking(false)}
      />
    </>
  );
}

/** What is done with all takes together. */
function Desk() {
  const playlist = usePlaylist();
  const { takes, gapS } = playlist;
  const settings = useSpeechStore((store) => store.settings);
  const isRunning = useProduction((production) => production.isRunning);
  const isMine = usePlayback((playback) => playback.trackId === TRACK);
  const isHeard = usePlayback((playback) => playback.trackId === TRACK && isPlaying(playback));
  const { data: voices = [] } = useVoices();
  const voice = voices.find(({ id }) => id === settings.voice)?.displayName ?? m.speak.defaultVoice;
  const list = useMemo(() => cues(takes, gapS), [takes, gapS]);
  const peaks = useMemo(() => reelPeaks(list), [list]);
  const totalMs = list.at(-1)?.endMs ?? 0;
  const wanted = missing(takes, settings);
  const start = useCallback(
    (ms: number) => void listen(list, gapS, ms).catch(complain),
    [list, gapS],
  );
  const save = (how: (which: typeof playlist) => Promise<void>) => () =>
    void how(playlist).catch(complain);
  return (
    <section
      aria-label={m.screens.playlist}
      className="sticky top-2 z-20 rounded-2xl border border-line bg-surface p-3 shadow-raised sm:p-4"
    >
      <div className="flex flex-wrap items-center gap-2">
        {isRunning ? (
          <Button onClick={stopProduction} data-testid="generate">
            <Square size={14} aria-hidden fill="currentColor" />
            {m.playlist.stopAll}
          </Button>
        ) : (
          <Button
            look="primary"
            disabled={wanted.length === 0}
            onClick={() => generate(wanted.map(({ id }) => id))}
            data-testid="generate"
          >
            <WandSparkles size={16} aria-hidden />
            {m.playlist.generateAll(wanted.length)}
          </Button>
        )}
        <Button
          disabled={list.length === 0}
          onClick={() => (isHeard ? stopListening() : start(0))}
          data-testid="play-through"
        >
          {isHeard ? (
            <Square size={14} aria-hidden fill="currentColor" />
          ) : (
            <Play size={15} aria-hidden />
          )}
          {isHeard ? m.playlist.stop : m.playlist.playAll}
        </Button>
        <Menu
          trigger={
            <Button disabled={list.length === 0} data-testid="export">
              <Download size={15} aria-hidden />
              {m.playlist.export}
            </Button>
          }
          items={[
            { label: m.playlist.exportJoined, onSelect: save(exportJoined) },
            { label: m.playlist.exportZip, onSelect: save(exportZip) },
          ]}
        />
        <span className="grow" />
        <p className="tabular text-sm text-muted" role="status" data-testid="total">
          {m.playlist.total(list.length, takes.length, clock(totalMs))}
        </p>
      </div>
      <Waveform
        label={m.speak.waveform}
        className="mt-3 !h-10"
        peaks={peaks}
        expectedMs={totalMs}
        isComplete
        isMoving={isHeard}
        positionMs={isMine ? reelPositionMs : atStart}
        onSeek={list.length > 0 ? start : undefined}
      />
      <div className="mt-2 flex flex-wrap items-center gap-x-4 gap-y-1 text-sm text-muted">
        <p>
          {m.playlist.settingsNote(voice)} ·{' '}
          <Link to="/" className="underline hover:text-ink">
            {m.playlist.changeSettings}
          </Link>
        </p>
        <span className="grow" />
        <label className="flex items-center gap-2">
          {m.playlist.gap}
          <select
            value={gapS}
            onChange={(event) => changePlaylist({ gapS: Number(event.target.value) })}
            className="h-7 rounded-md border border-line-strong/70 bg-surface px-1.5 text-ink"
          >
            {[0, 0.2, 0.4, 0.7, 1, 1.5, 2].map((seconds) => (
              <option key={seconds} value={seconds}>
                {m.playlist.gapValue(seconds.toFixed(1))}
              </option>
            ))}
          </select>
        </label>
      </div>
    </section>
  );
}

function atStart(): number {
  return 0;
}
