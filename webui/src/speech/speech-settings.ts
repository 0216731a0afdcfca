/** Who speaks and how, as the screens hold it. Survives a reload as JSON. */

import type { Model, ModelParameter, OptionName, SpeakRequest } from '@chatterbox/client';

export type NumericOption = Exclude<OptionName, 'seed'>;
export type NumericOptions = Readonly<Partial<Record<NumericOption, number>>>;

export interface SpeechSettings {
  /** Id, or empty for the server's default. */
  readonly voice: string;
  readonly model: string;
  /** Empty for the voice's own. */
  readonly languageCode: string;
  /** What was moved away from the model's own. */
  readonly options: NumericOptions;
  /** Decimal digits: JSON has no 64-bit numbers. Empty until one was drawn. */
  readonly seed: string;
  readonly isSeedLocked: boolean;
  readonly speakingRate: number;
}

export const DEFAULT_SPEECH: SpeechSettings = {
  voice: '',
  model: '',
  languageCode: '',
  options: {},
  seed: '',
  isSeedLocked: false,
  speakingRate: 1,
};

export const MIN_RATE = 0.5;
export const MAX_RATE = 2;
export const MAX_CHARACTERS = 100_000;
const CHARACTERS_PER_S = 14.5;

/** The controls of a model: what it knows besides the seed. */
export function controlsOf(
  model: Model | undefined,
): (ModelParameter & { option: NumericOption })[] {
  return (model?.parameters ?? []).flatMap((parameter) =>
    parameter.option === 'seed' ? [] : [{ ...parameter, option: parameter.option }],
  );
}

/** Within a parameter's range; a step above a bound that is not included. */
export function clamped(parameter: ModelParameter, value: number): number {
  const whole = parameter.isInteger ? Math.round(value) : value;
  const least = parameter.minimum + (parameter.isMinimumExclusive ? 0.01 : 0);
  return Math.min(parameter.maximum, Math.max(least, whole));
}

/** What of the options a model knows, within its ranges. */
export function optionsFor(model: Model | undefined, options: NumericOptions): NumericOptions {
  const known: Partial<Record<NumericOption, number>> = {};
  for (const parameter of controlsOf(model)) {
    const value = options[parameter.option];
    if (value !== undefined) known[parameter.option] = clamped(parameter, value);
  }
  return known;
}

/** The model that will speak: the chosen one, or the only or first one there is. */
export function modelOf(
  models: readonly Model[] | undefined,
  settings: SpeechSettings,
): Model | undefined {
  return models?.find(({ id }) => id === settings.model) ?? models?.[0];
}

/** What to send. */
export function speakRequest(
  text: string,
  settings: SpeechSettings,
  model: Model | undefined,
): SpeakRequest {
  const seed = settings.isSeedLocked && settings.seed !== '' ? BigInt(settings.seed) : undefined;
  const options = {
    ...optionsFor(model, settings.options),
    ...(seed === undefined ? {} : { seed }),
  };
  return {
    text,
    ...(settings.voice ? { voice: settings.voice } : {}),
    ...(settings.model ? { model: settings.model } : {}),
    ...(settings.languageCode ? { languageCode: settings.languageCode } : {}),
    ...(settings.speakingRate === 1 ? {} : { speakingRate: settings.speakingRate }),
    ...(Object.keys(options).length === 0 ? {} : { options }),
  };
}

/** About how long a text takes to say, in milliseconds; exact pauses are counted exactly. */
export function estimatedMs(text: string, speakingRate: number): number {
  let pausesMs = 0;
  const spoken = text.replace(
    /\[pause:\s*(\d+(?:\.\d+)?)(ms|s)\]/gi,
    (_tag, length: string, unit: string) => {
      pausesMs += Number(length) * (unit.toLowerCase() === 's' ? 1_000 : 1);
      return '';
    },
  );
  return (spoken.trim().length / CHARACTERS_PER_S / speakingRate) * 1_000 + pausesMs;
}

/** A seed that a person can read out: 0 to 2^32 - 1. */
export function randomSeed(): string {
  return String(crypto.getRandomValues(new Uint32Array(1))[0]);
}

/** The digits of a seed that the contract can hold, or nothing. */
export function parsedSeed(text: string): string | undefined {
  if (!/^\d{1,19}$/.test(text.trim())) return undefined;
  const seed = BigInt(text.trim());
  return seed < 2n ** 63n ? String(seed) : undefined;
}
