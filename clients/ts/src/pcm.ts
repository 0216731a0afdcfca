/** Mono sound as samples. */

/** 16-bit samples as the server sends them, or floating-point ones from -1 to 1. */
export type Samples = Int16Array<ArrayBuffer> | Float32Array<ArrayBuffer>;

/** Mono samples and how many of them make a second. */
export interface Pcm<S extends Samples = Samples> {
  readonly samples: S;
  readonly sampleRateHz: number;
}

const FULL_SCALE = 32_768;

/** 16-bit samples out of little-endian bytes, which may begin at an odd address. */
export function samplesOf(bytes: Uint8Array): Int16Array<ArrayBuffer> {
  return new Int16Array(new Uint8Array(bytes).buffer, 0, bytes.byteLength >> 1);
}

/** The same sound from -1 to 1. */
export function toFloat32(samples: Samples): Float32Array<ArrayBuffer> {
  if (samples instanceof Float32Array) return samples;
  return Float32Array.from(samples, (sample) => sample / FULL_SCALE);
}

/** The same sound in 16 bits; what is louder than full scale is cut off. */
export function toInt16(samples: Samples): Int16Array<ArrayBuffer> {
  if (samples instanceof Int16Array) return samples;
  return Int16Array.from(samples, (sample) =>
    Math.max(-FULL_SCALE, Math.min(FULL_SCALE - 1, Math.round(sample * FULL_SCALE))),
  );
}

/** Blocks one after the other. */
export function joinSamples(blocks: readonly Int16Array[]): Int16Array<ArrayBuffer> {
  const joined = new Int16Array(blocks.reduce((length, block) => length + block.length, 0));
  let offset = 0;
  for (const block of blocks) {
    joined.set(block, offset);
    offset += block.length;
  }
  return joined;
}

/** How long a sound lasts. */
export function durationOfPcmMs({ samples, sampleRateHz }: Pcm): number {
  return (samples.length / sampleRateHz) * 1_000;
}
