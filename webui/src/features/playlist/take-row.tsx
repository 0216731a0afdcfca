import { ArrowDown, ArrowUp, GripVertical, Play, RefreshCw, Trash2 } from 'lucide-react';
import { type DragEvent, type KeyboardEvent, memo } from 'react';
import { Bars } from '@/components/bars';
import { IconButton } from '@/components/ui/button';
import { complain } from '@/components/ui/toast';
import { clock } from '@/lib/format';
import { m } from '@/messages';
import { useSpeechStore } from '@/speech/speech-store';
import { listen } from './listening';
import {
  changeTake,
  isStale,
  moveTake,
  removeTake,
  type Take,
  usePlaylist,
} from './playlist-store';
import { generate } from './production';
import { cues } from './reel';

const DRAGGED = 'application/x-chatterbox-take';

export interface TakeRowProps {
  readonly take: Take;
  readonly index: number;
  readonly isCurrent: boolean;
}

export const TakeRow = memo(function TakeRow({ take, index, isCurrent }: TakeRowProps) {
  const { id, text, state, durationMs, bars } = take;
  const stale = useSpeechStore(({ settings }) => isStale(take, settings));
  const count = usePlaylist(({ takes }) => takes.length);
  const number = index + 1;
  const isBusy = state === 'waiting' || state === 'generating';

  const play = (): void => {
    const { takes, gapS } = usePlaylist.getState();
    const list = cues(takes, gapS);
    const cue = list.find((each) => each.take.id === id);
    if (cue !== undefined) listen(list, gapS, cue.startMs).catch(complain);
  };
  const key = (event: KeyboardEvent): void => {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!event.altKey || step === undefined) return;
    event.preventDefault();
    moveTake(id, index + step);
  };
  const drop = (event: DragEvent): void => {
    const dragged = event.dataTransfer.getData(DRAGGED);
    if (dragged === '') return;
    event.preventDefault();
    moveTake(dragged, index);
  };

  return (
    <li
      data-testid="take"
      aria-current={isCurrent || undefined}
      onDragOver={(event) => {
        if (event.dataTransfer.types.includes(DRAGGED)) event.preventDefault();
      }}
      onDrop={drop}
      onKeyDown={key}
      className="flex gap-2 rounded-xl border border-line bg-surface p-2.5 [contain-intrinsic-size:auto_6rem] [content-visibility:auto] aria-[current]:border-accent aria-[current]:bg-accent-soft"
    >
      <div className="flex shrink-0 flex-col items-center gap-1">
        <span
          draggable
          aria-hidden
          onDragStart={(event) => event.dataTransfer.setData(DRAGGED, id)}
          className="tabular flex h-6 cursor-grab items-center text-xs text-muted"
        >
          <GripVertical size={13} />
          {number}
        </span>
        <IconButton
          label={m.playlist.playFrom(number)}
          disabled={durationMs === 0}
          onClick={play}
          className="rounded-full"
        >
          <Play size={15} aria-hidden />
        </IconButton>
      </div>
      <div className="min-w-0 grow">
        <textarea
          aria-label={m.playlist.edit(number)}
          value={text}
          rows={1}
          onChange={(event) => changeTake(id, { text: event.target.value })}
          className="field-sizing-content block max-h-60 min-h-9 w-full resize-none rounded-md bg-transparent px-1.5 py-1 font-script text-[1.0625rem] leading-snug"
        />
        <div className="mt-1 flex h-6 items-center gap-3 px-1.5 text-xs text-muted">
          <span
            data-testid="take-state"
            className={state === 'failed' ? 'text-danger' : stale && !isBusy ? 'text-warning' : ''}
          >
            {state === 'failed'
              ? (take.error ?? m.playlist.states.failed)
              : m.playlist.states[stale && !isBusy ? 'stale' : state]}
          </span>
          {durationMs > 0 && <span className="tabular">{clock(durationMs)}</span>}
          {isBusy && <span aria-hidden className="h-1 w-24 animate-pulse rounded-full bg-accent" />}
          {!isBusy && durationMs > 0 && (
            <Bars bars={bars} className="h-5 w-40 text-line-strong max-sm:hidden" />
          )}
        </div>
      </div>
      <div className="flex shrink-0 flex-wrap content-start justify-end max-sm:w-9">
        <IconButton
          label={`${durationMs > 0 ? m.playlist.regenerate : m.playlist.generate}: ${m.playlist.take(number)}`}
          disabled={isBusy || text.trim() === ''}
          onClick={() => generate([id])}
        >
          <RefreshCw
            size={15}
            aria-hidden
            className={state === 'generating' ? 'animate-spin' : ''}
          />
        </IconButton>
        <IconButton
          label={m.playlist.moveUp(number)}
          disabled={index === 0}
          onClick={() => moveTake(id, index - 1)}
        >
          <ArrowUp size={15} aria-hidden />
        </IconButton>
        <IconButton
          label={m.playlist.moveDown(number)}
          disabled={number === count}
          onClick={() => moveTake(id, index + 1)}
        >
          <ArrowDown size={15} aria-hidden />
        </IconButton>
        <IconButton label={m.playlist.remove(number)} onClick={() => removeTake(id)}>
          <Trash2 size={15} aria-hidden />
        </IconButton>
      </div>
    </li>
  );
});
