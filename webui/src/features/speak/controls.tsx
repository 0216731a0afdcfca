import type { Model, ModelParameter } from '@chatterbox/client';
import { ChevronRight } from 'lucide-react';
import { SelectField } from '@/components/ui/field';
import { Slider } from '@/components/ui/slider';
import { VoicePicker } from '@/components/voice-picker';
import { languageName } from '@/lib/format';
import { m } from '@/messages';
import {
  clamped,
  controlsOf,
  MAX_RATE,
  MIN_RATE,
  type NumericOption,
} from '@/speech/speech-settings';
import { changeSpeech, setOption, useSpeechStore } from '@/speech/speech-store';
import { Presets } from './presets';
import { SeedField } from './seed-field';

/** Those that change how it sounds; the others change how it is drawn. */
const DELIVERY: ReadonlySet<NumericOption> = new Set(['exaggeration', 'cfgWeight', 'temperature']);
const SLIDER_STEPS = 100;

export function Controls({
  model,
  models,
}: {
  readonly model: Model | undefined;
  readonly models: readonly Model[];
}) {
  const settings = useSpeechStore((store) => store.settings);
  const controls = controlsOf(model);
  const delivery = controls.filter(({ option }) => DELIVERY.has(option));
  const sampling = controls.filter(({ option }) => !DELIVERY.has(option));
  return (
    <div className="space-y-5">
      <VoicePicker
        chosen={settings.voice}
        onChoose={(voice) => changeSpeech({ voice, languageCode: '' })}
      />
      {models.length > 1 && (
        <SelectField
          label={m.speak.model}
          hint={model?.description}
          value={model?.id ?? ''}
          onChange={(event) => changeSpeech({ model: event.target.value, languageCode: '' })}
        >
          {models.map(({ id, displayName }) => (
            <option key={id} value={id}>
              {displayName}
            </option>
          ))}
        </SelectField>
      )}
      {(model?.languageCodes.length ?? 0) > 1 && (
        <SelectField
          label={m.speak.language}
          value={settings.languageCode}
          onChange={(event) => changeSpeech({ languageCode: event.target.value })}
        >
          <option value="">{m.speak.languageOfVoice}</option>
          {model?.languageCodes.map((code) => (
            <option key={code} value={code}>
              {languageName(code)}
            </option>
          ))}
        </SelectField>
      )}
      <Slider
        label={m.speak.rate}
        value={settings.speakingRate}
        min={MIN_RATE}
        max={MAX_RATE}
        step={0.05}
        shown={`${settings.speakingRate.toFixed(2)} ×`}
        onChange={(speakingRate) => changeSpeech({ speakingRate })}
        onReset={settings.speakingRate === 1 ? undefined : () => changeSpeech({ speakingRate: 1 })}
        resetLabel={m.speak.reset(m.speak.rate)}
      />
      {delivery.map((parameter) => (
        <OptionSlider key={parameter.option} parameter={parameter} />
      ))}
      <SeedField />
      {controls.length > 0 && <Presets model={model} />}
      {sampling.length > 0 && (
        <details className="group rounded-xl border border-line">
          <summary className="flex h-10 list-none items-center gap-2 rounded-xl px-3 text-sm font-medium">
            <ChevronRight
              size={15}
              aria-hidden
              className="text-muted transition-transform group-open:rotate-90"
            />
            {m.speak.advanced}
          </summary>
          <div className="space-y-4 px-3 pt-1 pb-4">
            {sampling.map((parameter) => (
              <OptionSlider key={parameter.option} parameter={parameter} />
            ))}
          </div>
        </details>
      )}
    </div>
  );
}

type NumericParameter = ModelParameter & { readonly option: NumericOption };

function OptionSlider({ parameter }: { readonly parameter: NumericParameter }) {
  const { option, minimum, maximum, isInteger } = parameter;
  const changed = useSpeechStore(({ settings }) => settings.options[option]);
  const own = parameter.defaultValue ?? minimum;
  const value = changed === undefined ? own : clamped(parameter, changed);
  // A range such as 0 to 1,000,000 has its use near its beginning.
  const end = isInteger && maximum > 1_000 ? 1_000 : maximum;
  const step = isInteger ? 1 : (end - minimum) / SLIDER_STEPS;
  const [name, hint] = m.speak.options[option] ?? [option, ''];
  return (
    <Slider
      label={name}
      hint={hint}
      value={Math.min(value, end)}
      min={minimum}
      max={end}
      step={step}
      shown={isInteger ? String(value) : value.toFixed(2)}
      onChange={(next) => setOption(option, clamped(parameter, next))}
      onReset={changed === undefined ? undefined : () => setOption(option, undefined)}
      resetLabel={m.speak.reset(name)}
    />
  );
}
