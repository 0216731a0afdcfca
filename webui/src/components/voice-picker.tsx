import type { Voice } from '@chatterbox/client';
import { Check, ChevronsUpDown, Search } from 'lucide-react';
import { type ReactNode, useState } from 'react';
import { PreviewButton } from '@/components/preview-button';
import { Dialog } from '@/components/ui/dialog';
import { BOX } from '@/components/ui/field';
import { languageName } from '@/lib/format';
import { useVoices } from '@/lib/queries';
import { m } from '@/messages';
import { matches } from '@/speech/voice-search';

/** One voice of the server; an empty id is its default. */
export function VoicePicker({
  chosen,
  onChoose,
}: {
  readonly chosen: string;
  readonly onChoose: (id: string) => void;
}) {
  const { data: voices = [] } = useVoices();
  const [isOpen, setIsOpen] = useState(false);
  const voice = voices.find(({ id }) => id === chosen);
  return (
    <div>
      <p id="voice-label" className="mb-1 text-sm font-medium">
        {m.speak.voice}
      </p>
      <button
        type="button"
        data-testid="voice-picker"
        aria-haspopup="dialog"
        aria-labelledby="voice-label voice-chosen"
        onClick={() => setIsOpen(true)}
        className={`${BOX} flex h-12 items-center gap-2.5 text-left`}
      >
        <Initial name={voice?.displayName ?? '·'} />
        <span id="voice-chosen" className="min-w-0 grow truncate leading-tight font-medium">
          {voice?.displayName ?? (chosen || m.speak.defaultVoice)}
          {voice && (
            <span className="block truncate text-xs font-normal text-muted">
              {languageName(voice.languageCode)}
            </span>
          )}
        </span>
        <ChevronsUpDown size={15} aria-hidden className="shrink-0 text-muted" />
      </button>
      <Dialog isOpen={isOpen} onClose={() => setIsOpen(false)} title={m.speak.chooseVoice}>
        <VoiceChoices
          voices={voices}
          chosen={chosen}
          onChoose={(id) => {
            onChoose(id);
            setIsOpen(false);
          }}
        />
      </Dialog>
    </div>
  );
}

function VoiceChoices({
  voices,
  chosen,
  onChoose,
}: {
  readonly voices: readonly Voice[];
  readonly chosen: string;
  readonly onChoose: (id: string) => void;
}) {
  const [sought, setSought] = useState('');
  const found = voices.filter((each) => matches(each, sought));
  return (
    <>
      <div className="relative mb-2">
        <Search
          size={15}
          aria-hidden
          className="absolute top-1/2 left-3 -translate-y-1/2 text-muted"
        />
        <input
          value={sought}
          onChange={(event) => setSought(event.target.value)}
          aria-label={m.speak.searchVoices}
          placeholder={m.speak.searchVoices}
          className={`${BOX} h-10 pl-9`}
        />
      </div>
      <ul className="-mx-2 min-h-56">
        {sought === '' && (
          <li>
            <Choice isChosen={chosen === ''} onChoose={() => onChoose('')}>
              {m.speak.defaultVoice}
            </Choice>
          </li>
        )}
        {found.map((each) => (
          <li key={each.id} className="flex items-center gap-1">
            <Choice isChosen={each.id === chosen} onChoose={() => onChoose(each.id)}>
              {each.displayName}
              <span className="block truncate text-sm font-normal text-muted">
                {each.description || languageName(each.languageCode)}
              </span>
            </Choice>
            <PreviewButton voice={each} />
          </li>
        ))}
        {found.length === 0 && voices.length > 0 && (
          <li className="px-2.5 py-3 text-muted">{m.speak.noVoices}</li>
        )}
      </ul>
    </>
  );
}

function Initial({ name }: { readonly name: string }) {
  return (
    // By the style sheet: it is no part of the button's name, as visible text would have to be.
    <span
      aria-hidden
      data-initial={name.slice(0, 1).toUpperCase()}
      className="grid size-7 shrink-0 place-items-center rounded-full bg-accent-soft text-sm font-semibold text-accent before:content-[attr(data-initial)]"
    />
  );
}

function Choice({
  isChosen,
  onChoose,
  children,
}: {
  readonly isChosen: boolean;
  readonly onChoose: () => void;
  readonly children: ReactNode;
}) {
  return (
    <button
      type="button"
      aria-pressed={isChosen}
      onClick={onChoose}
      className="flex min-h-10 w-full min-w-0 items-center gap-2 rounded-lg px-2.5 py-1.5 text-left text-sm hover:bg-sunken"
    >
      <span className="min-w-0 grow truncate font-medium">{children}</span>
      {isChosen && <Check size={15} aria-hidden className="shrink-0 text-accent" />}
    </button>
  );
}
