import { Scissors } from 'lucide-react';
import { useMemo } from 'react';
import { Button } from '@/components/ui/button';
import { Slider } from '@/components/ui/slider';
import { m } from '@/messages';
import { cut } from './cut';
import { addTakes, changePlaylist, MAX_TAKES, usePlaylist } from './playlist-store';

/** A long text, to be cut. */
export function Cutter() {
  const { draft, mostCharacters } = usePlaylist();
  const pieces = useMemo(() => cut(draft, mostCharacters), [draft, mostCharacters]);
  const isTooMuch = pieces.length > MAX_TAKES;
  const go = (): void => {
    addTakes(pieces);
    changePlaylist({ draft: '' });
  };
  return (
    <section
      aria-label={m.playlist.textLabel}
      className="rounded-2xl border border-line bg-surface focus-within:border-accent"
    >
      <textarea
        aria-label={m.playlist.textLabel}
        data-testid="draft"
        value={draft}
        placeholder={m.playlist.textPlaceholder}
        onChange={(event) => changePlaylist({ draft: event.target.value })}
        className="block h-72 w-full resize-y rounded-t-2xl bg-transparent px-5 pt-5 pb-3 font-script text-lg leading-relaxed outline-none placeholder:text-muted"
      />
      <div className="flex flex-wrap items-center gap-x-5 gap-y-2 border-t border-line px-4 py-3">
        <div className="w-60">
          <Slider
            label={m.playlist.takeLength}
            value={mostCharacters}
            min={80}
            max={600}
            step={20}
            shown={m.playlist.takeLengthValue(mostCharacters)}
            onChange={(next) => changePlaylist({ mostCharacters: next })}
          />
        </div>
        <span className="grow" />
        <p className={`tabular text-sm ${isTooMuch ? 'font-medium text-danger' : 'text-muted'}`}>
          {isTooMuch ? m.playlist.tooMuch(MAX_TAKES) : m.playlist.cutHint(pieces.length)}
        </p>
        <Button look="primary" disabled={pieces.length === 0 || isTooMuch} onClick={go}>
          <Scissors size={16} aria-hidden />
          {m.playlist.cut}
        </Button>
      </div>
    </section>
  );
}
