import type { Model } from '@chatterbox/client';
import { Plus, X } from 'lucide-react';
import { useState } from 'react';
import { Button } from '@/components/ui/button';
import { Dialog } from '@/components/ui/dialog';
import { TextField } from '@/components/ui/field';
import { newId } from '@/lib/id';
import { m } from '@/messages';
import { optionsFor } from '@/speech/speech-settings';
import {
  addPreset,
  changeSpeech,
  type Preset,
  removePreset,
  useSpeechStore,
} from '@/speech/speech-store';

const names = m.speak.presetNames;

/** Starting points; each takes what the model knows of it. */
const BUILT_IN: readonly Preset[] = [
  { id: 'own', name: names.own, options: {}, speakingRate: 1 },
  {
    id: 'steady',
    name: names.steady,
    options: { temperature: 0.5, exaggeration: 0.4, cfgWeight: 0.6 },
    speakingRate: 1,
  },
  {
    id: 'lively',
    name: names.lively,
    options: { temperature: 0.95, exaggeration: 0.75, cfgWeight: 0.4 },
    speakingRate: 1.05,
  },
  {
    id: 'dramatic',
    name: names.dramatic,
    options: { temperature: 0.85, exaggeration: 1.1, cfgWeight: 0.3 },
    speakingRate: 0.95,
  },
];

export function Presets({ model }: { readonly model: Model | undefined }) {
  const own = useSpeechStore((store) => store.presets);
  const settings = useSpeechStore((store) => store.settings);
  const [isNaming, setIsNaming] = useState(false);
  const now = JSON.stringify([sorted(optionsFor(model, settings.options)), settings.speakingRate]);
  const isOn = ({ options, speakingRate }: Preset): boolean =>
    JSON.stringify([sorted(optionsFor(model, options)), speakingRate]) === now;
  const take = ({ options, speakingRate }: Preset): void =>
    changeSpeech({ options: optionsFor(model, options), speakingRate });
  const chip =
    'inline-flex h-7 items-center rounded-md border px-2 text-xs aria-pressed:border-accent aria-pressed:bg-accent-soft aria-pressed:font-medium border-line hover:border-line-strong';
  return (
    <fieldset>
      <legend className="mb-1.5 text-sm font-medium">{m.speak.presets}</legend>
      <div className="flex flex-wrap gap-1.5">
        {BUILT_IN.map((preset) => (
          <button
            key={preset.id}
            type="button"
            aria-pressed={isOn(preset)}
            onClick={() => take(preset)}
            className={chip}
          >
            {preset.name}
          </button>
        ))}
        {own.map((preset) => (
          <span key={preset.id} className="inline-flex">
            <button
              type="button"
              aria-pressed={isOn(preset)}
              onClick={() => take(preset)}
              className={`${chip} max-w-40 truncate rounded-r-none`}
            >
              {preset.name}
            </button>
            <button
              type="button"
              aria-label={m.speak.deletePreset(preset.name)}
              onClick={() => removePreset(preset.id)}
              className={`${chip} rounded-l-none border-l-0 !px-1 text-muted`}
            >
              <X size={12} aria-hidden />
            </button>
          </span>
        ))}
        <button
          type="button"
          aria-label={m.speak.savePreset}
          title={m.speak.savePreset}
          onClick={() => setIsNaming(true)}
          className={`${chip} text-muted`}
        >
          <Plus size={13} aria-hidden />
        </button>
      </div>
      {isNaming && <NameDialog onClose={() => setIsNaming(false)} />}
    </fieldset>
  );
}

function sorted(options: object): [string, unknown][] {
  return Object.entries(options).sort(([a], [b]) => a.localeCompare(b));
}

function NameDialog({ onClose }: { readonly onClose: () => void }) {
  const [name, setName] = useState('');
  const save = (): void => {
    const { options, speakingRate } = useSpeechStore.getState().settings;
    addPreset({ id: newId(), name: name.trim(), options, speakingRate });
    onClose();
  };
  return (
    <Dialog isOpen onClose={onClose} title={m.speak.savePreset}>
      <form
        className="space-y-4"
        onSubmit={(event) => {
          event.preventDefault();
          if (name.trim() !== '') save();
        }}
      >
        <TextField
          label={m.speak.presetName}
          value={name}
          maxLength={40}
          onChange={(event) => setName(event.target.value)}
        />
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>{m.app.cancel}</Button>
          <Button look="primary" type="submit" disabled={name.trim() === ''}>
            {m.voices.save}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
