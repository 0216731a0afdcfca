/** The outline of a sound, gathered while it arrives. */

import type { Samples } from '@chatterbox/client';

/** Outlines are kept in steps of this length. */
export const STEP_MS = 10;
const FULL_SCALE = 32_768;

/** The largest sample of every step, from 0 to 1. Bounded by the length of the sound. */
export class Peaks {
  readonly sampleRateHz: number;
  readonly #stepSamples: number;
  #values = new Float32Array(1_024);
  #length = 0;
  #largest = 0;
  #filled = 0;

  constructor(sampleRateHz: number) {
    this.sampleRateHz = sampleRateHz;
    this.#stepSamples = Math.max(1, Math.round((sampleRateHz * STEP_MS) / 1_000));
  }

  static of(samples: Samples, sampleRateHz: number): Peaks {
    const peaks = new Peaks(sampleRateHz);
    peaks.add(samples);
    return peaks;
  }

  get length(): number {
    return this.#length;
  }

  get durationMs(): number {
    return this.#length * STEP_MS;
  }

  add(samples: Samples): void {
    const scale = samples instanceof Int16Array ? FULL_SCALE : 1;
    for (const sample of samples) {
      this.#largest = Math.max(this.#largest, Math.abs(sample) / scale);
      this.#filled += 1;
      if (this.#filled === this.#stepSamples) this.#finishStep();
    }
  }

  /** The largest between two steps, the second not included. */
  between(from: number, to: number): number {
    let largest = 0;
    const end = Math.min(to, this.#length);
    for (let step = Math.max(0, from); step < end; step += 1) {
      largest = Math.max(largest, this.#values[step] ?? 0);
    }
    return largest;
  }

  /** The whole as `count` bars, for a picture that is kept. */
  bars(count: number): number[] {
    return Array.from({ length: count }, (_, bar) => {
      const [from, to] = [(bar * this.#length) / count, ((bar + 1) * this.#length) / count];
      return Math.round(this.between(Math.floor(from), Math.ceil(to)) * 100) / 100;
    });
  }

  #finishStep(): void {
    if (this.#length === this.#values.length) {
      const longer = new Float32Array(this.#values.length * 2);
      longer.set(this.#values);
      this.#values = longer;
    }
    this.#values[this.#length] = this.#largest;
    this.#length += 1;
    this.#largest = 0;
    this.#filled = 0;
  }
}
