import { Dices, Lock, LockOpen } from 'lucide-react';
import { useId, useState } from 'react';
import { IconButton } from '@/components/ui/button';
import { BOX } from '@/components/ui/field';
import { m } from '@/messages';
import { parsedSeed, randomSeed } from '@/speech/speech-settings';
import { changeSpeech, useSpeechStore } from '@/speech/speech-store';

/** The seed of the next speech: drawn anew each time, or kept. */
export function SeedField() {
  const { seed, isSeedLocked } = useSpeechStore((store) => store.settings);
  const [typed, setTyped] = useState<string | undefined>();
  const id = useId();
  const type = (text: string): void => {
    const parsed = parsedSeed(text);
    setTyped(parsed === undefined ? text : undefined);
    if (parsed !== undefined) changeSpeech({ seed: parsed, isSeedLocked: true });
    else if (text === '') changeSpeech({ seed: '', isSeedLocked: false });
  };
  const toggle = (): void =>
    changeSpeech({ isSeedLocked: !isSeedLocked, ...(seed === '' ? { seed: randomSeed() } : {}) });
  const roll = (): void => {
    setTyped(undefined);
    changeSpeech({ seed: randomSeed(), isSeedLocked: true });
  };
  const isWrong = typed !== undefined && typed !== '';
  return (
    <div>
      <label htmlFor={id} className="mb-1 block text-sm font-medium">
        {m.speak.seed}
      </label>
      <div className="flex gap-1">
        <input
          id={id}
          inputMode="numeric"
          autoComplete="off"
          value={typed ?? seed}
          placeholder={m.speak.seedDrawn}
          aria-invalid={isWrong || undefined}
          onChange={(event) => type(event.target.value)}
          onBlur={() => setTyped(undefined)}
          className={`${BOX} tabular h-9 min-w-0 text-sm ${isSeedLocked ? '' : 'text-muted'} ${isWrong ? '!border-danger' : ''}`}
        />
        <IconButton
          label={isSeedLocked ? m.speak.unlockSeed : m.speak.lockSeed}
          aria-pressed={isSeedLocked}
          onClick={toggle}
          className={`!h-9 !w-9 ${isSeedLocked ? '!text-accent' : ''}`}
        >
          {isSeedLocked ? <Lock size={16} aria-hidden /> : <LockOpen size={16} aria-hidden />}
        </IconButton>
        <IconButton label={m.speak.rollSeed} onClick={roll} className="!h-9 !w-9">
          <Dices size={17} aria-hidden />
        </IconButton>
      </div>
    </div>
  );
}
