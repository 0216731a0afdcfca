import { CornerUpLeft, Play, Square, Trash2 } from 'lucide-react';
import { useState } from 'react';
import { isPlaying, stopPlayback, usePlayback } from '@/audio/playback';
import { Bars } from '@/components/bars';
import { Button, IconButton } from '@/components/ui/button';
import { Confirm } from '@/components/ui/confirm';
import { Empty } from '@/components/ui/empty';
import { complain } from '@/components/ui/toast';
import { clock, moment } from '@/lib/format';
import { m } from '@/messages';
import { setText, useSpeechStore } from '@/speech/speech-store';
import { type HistoryEntry, removeEntries, useHistory } from './history-store';
import { replay } from './session';

const PAGE = 20;

export function HistoryList() {
  const { entries, isLoaded } = useHistory();
  const [shown, setShown] = useState(PAGE);
  const [isAsking, setIsAsking] = useState(false);
  return (
    <section aria-labelledby="history-title">
      <div className="mb-2 flex h-9 items-center">
        <h2 id="history-title" className="grow text-lg font-semibold">
          {m.speak.history}
        </h2>
        {entries.length > 0 && (
          <Button look="quiet" size="small" onClick={() => setIsAsking(true)}>
            {m.speak.clearHistory}
          </Button>
        )}
      </div>
      {isLoaded && entries.length === 0 && (
        <Empty title={m.speak.historyEmpty} advice={m.speak.historyEmptyAdvice} />
      )}
      <ul className="divide-y divide-line rounded-2xl border border-line bg-surface empty:hidden">
        {entries.slice(0, shown).map((entry) => (
          <Row key={entry.id} entry={entry} />
        ))}
      </ul>
      {entries.length > shown && (
        <Button look="quiet" className="mt-2 w-full" onClick={() => setShown(shown + PAGE)}>
          +{Math.min(PAGE, entries.length - shown)}
        </Button>
      )}
      <Confirm
        isOpen={isAsking}
        title={m.speak.clearHistory}
        advice={m.speak.clearHistoryAsk}
        action={m.speak.clearHistory}
        onConfirm={() => void removeEntries(entries.map(({ id }) => id)).catch(complain)}
        onClose={() => setIsAsking(false)}
      />
    </section>
  );
}

const NOTES: Readonly<Partial<Record<HistoryEntry['state'], string>>> = {
  stopped: m.speak.partial,
  failed: m.speak.failed,
  interrupted: m.speak.interrupted,
};

function Row({ entry }: { readonly entry: HistoryEntry }) {
  const isHeard = usePlayback((playback) => playback.trackId === entry.id && isPlaying(playback));
  const { id, text, state, settings, durationMs } = entry;
  const voice = entry.voice?.split('/').at(-1) ?? settings.voice;
  const press = (): void => {
    if (isHeard) stopPlayback();
    else void replay(id).catch(complain);
  };
  const reuse = (): void => {
    setText(text);
    const seed = entry.seed ?? '';
    useSpeechStore.setState({ settings: { ...settings, seed, isSeedLocked: seed !== '' } });
    window.scrollTo({ top: 0, behavior: 'smooth' });
    document.getElementById('speak-text')?.focus({ preventScroll: true });
  };
  return (
    <li className="flex items-center gap-2.5 px-3 py-2" data-testid="history-entry">
      <IconButton
        label={isHeard ? m.speak.stop : `${m.speak.replayEntry}: ${text.slice(0, 60)}`}
        disabled={durationMs === 0}
        onClick={press}
        className="!h-9 !w-9 rounded-full border !border-line"
      >
        {isHeard ? (
          <Square size={13} aria-hidden fill="currentColor" />
        ) : (
          <Play size={15} aria-hidden />
        )}
      </IconButton>
      <div className="min-w-0 grow">
        <p className="truncate font-script text-[1.0625rem]">{text}</p>
        <p className="tabular truncate text-xs text-muted">
          {[moment(entry.createdAt), voice, durationMs > 0 && clock(durationMs), NOTES[state]]
            .filter(Boolean)
            .join(' · ')}
        </p>
      </div>
      <Bars bars={entry.bars} className="hidden h-6 w-32 shrink-0 text-line-strong sm:block" />
      <IconButton label={`${m.speak.rerun}: ${m.speak.rerunHint}`} onClick={reuse}>
        <CornerUpLeft size={16} aria-hidden />
      </IconButton>
      <IconButton
        label={m.speak.deleteEntry}
        onClick={() => void removeEntries([id]).catch(complain)}
      >
        <Trash2 size={15} aria-hidden />
      </IconButton>
    </li>
  );
}
