/** How speech is drawn from a model. */

import { create } from '@bufbuild/protobuf';
import { failure } from './errors.js';
import {
  SynthesisOptionsSchema,
  type SynthesisOptions as WireOptions,
} from './gen/chatterbox/v1/synthesis_pb.js';

/**
 * How speech is drawn from the model. What is left out takes the model's own default; what the
 * model does not know is ignored, and a warning says so.
 */
export interface SynthesisOptions {
  /** 0 to 2^63 - 1; the same request with the same seed gives the same audio. */
  readonly seed?: bigint | number | undefined;
  /** 0 to 5. 0 always takes the likeliest; higher is livelier and less steady. */
  readonly temperature?: number | undefined;
  /** Strength of emotion, 0 to 2; 0.5 is neutral. */
  readonly exaggeration?: number | undefined;
  /** Weight of classifier-free guidance, 0 to 1; 0 turns it off. */
  readonly cfgWeight?: number | undefined;
  /** Choose among the likeliest that add up to this probability, above 0 to 1; 1 is off. */
  readonly topP?: number | undefined;
  /** Choose among this many likeliest, 0 to 1,000,000; 0 is off. */
  readonly topK?: number | undefined;
  /** Leave out what is less likely than this fraction of the likeliest, 0 to 1; 0 is off. */
  readonly minP?: number | undefined;
  /** Divides the score of speech tokens already used, 1 to 5; 1 is off. */
  readonly repetitionPenalty?: number | undefined;
}

const NUMBERS = [
  'temperature',
  'exaggeration',
  'cfgWeight',
  'topP',
  'topK',
  'minP',
  'repetitionPenalty',
] as const satisfies readonly OptionName[];

export type OptionName = keyof SynthesisOptions;

/** Whether this package knows an option of that name. */
export function isOptionName(name: string): name is OptionName {
  return name === 'seed' || NUMBERS.some((known) => known === name);
}

const MAX_INT64 = 2n ** 63n - 1n;

/** The options as the contract has them; fails with `invalid` where it cannot hold one. */
export function wireOptions(options: SynthesisOptions): WireOptions {
  const wire = create(SynthesisOptionsSchema);
  if (options.seed !== undefined) wire.seed = wireSeed(options.seed, 'options.seed');
  for (const name of NUMBERS) {
    const value = options[name];
    if (value !== undefined) wire[name] = value;
  }
  return wire;
}

/** A seed as the contract holds it; fails with `invalid`. `field` is where it was given. */
export function wireSeed(seed: bigint | number, field: string): bigint {
  const whole = typeof seed === 'bigint' || Number.isInteger(seed) ? BigInt(seed) : -1n;
  if (whole >= 0n && whole <= MAX_INT64) return whole;
  throw failure({ kind: 'invalid', field }, `${field} must be a whole number from 0 to 2^63 - 1`, {
    reason: 'OUT_OF_RANGE',
  });
}
