import type { Model } from '@chatterbox/client';
import { clsx } from 'clsx';
import { type CSSProperties, useRef } from 'react';
import { roughly } from '@/lib/format';
import { m } from '@/messages';
import { estimatedMs, MAX_CHARACTERS } from '@/speech/speech-settings';
import { setText, useSpeechStore } from '@/speech/speech-store';

const PAUSE = '[pause:500ms]';

/** Where the text is written. */
export function Composer({ model }: { readonly model: Model | undefined }) {
  const text = useSpeechStore((store) => store.text);
  const rate = useSpeechStore((store) => store.settings.speakingRate);
  const area = useRef<HTMLTextAreaElement>(null);
  const isTooLong = text.length > MAX_CHARACTERS;

  const insert = (tag: string): void => {
    const element = area.current;
    if (element === null) return;
    element.focus();
    element.setRangeText(tag, element.selectionStart, element.selectionEnd, 'end');
    setText(element.value);
  };

  return (
    <section
      aria-label={m.speak.text}
      className="flex flex-col rounded-2xl border border-line bg-surface focus-within:border-accent"
    >
      <textarea
        ref={area}
        id="speak-text"
        aria-label={m.speak.text}
        aria-describedby="speak-count"
        aria-invalid={isTooLong || undefined}
        value={text}
        placeholder={m.speak.placeholder}
        onChange={(event) => setText(event.target.value)}
        spellCheck
        className="min-h-56 grow resize-none rounded-t-2xl bg-transparent px-5 pt-5 pb-3 font-script text-[1.3rem] leading-relaxed outline-none placeholder:text-muted md:min-h-64 md:text-[1.45rem]"
        style={{ fieldSizing: 'content', maxHeight: '52vh' } as CSSProperties}
      />
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1.5 border-t border-line px-4 py-2 text-sm text-muted">
        <div className="flex flex-wrap gap-1">
          <Tag label={m.speak.pauseTag} tag={PAUSE} onInsert={insert} />
          {model?.paralinguisticTags.map((tag) => (
            <Tag key={tag} label={tag.replace(/[[\]]/g, '')} tag={tag} onInsert={insert} />
          ))}
        </div>
        <span className="grow" />
        <p id="speak-count" className={clsx('tabular', isTooLong && 'font-medium text-danger')}>
          {isTooLong
            ? m.speak.tooLong(MAX_CHARACTERS)
            : text.trim() === ''
              ? m.speak.empty
              : `${m.speak.characters(text.length)} · ${m.speak.estimate(roughly(estimatedMs(text, rate)))}`}
        </p>
      </div>
    </section>
  );
}

function Tag({
  label,
  tag,
  onInsert,
}: {
  readonly label: string;
  readonly tag: string;
  readonly onInsert: (tag: string) => void;
}) {
  return (
    <button
      type="button"
      aria-label={m.speak.insertTag(label)}
      onClick={() => onInsert(tag)}
      className="h-7 rounded-md border border-line px-2 text-xs text-muted hover:border-line-strong hover:text-ink"
    >
      + {label}
    </button>
  );
}
