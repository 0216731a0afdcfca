/** Sound out of a file, by the browser's own decoders. */

import { type Samples, toInt16 } from '@chatterbox/client';
import type { Sound } from '@/speech/sounds';

/** That of the models: beside what they make, more would not be missed. */
const RATE_HZ = 24_000;
const MOST_BYTES = 200 * 1_048_576;

/** The sound of a file, its channels mixed to one; nothing where this browser cannot read it. */
export async function decode(file: Blob): Promise<Sound | undefined> {
  if (file.size > MOST_BYTES) return undefined;
  try {
    const context = new OfflineAudioContext(1, 1, RATE_HZ);
    const buffer = await context.decodeAudioData(await file.arrayBuffer());
    const channels = Array.from({ length: buffer.numberOfChannels }, (_, channel) =>
      buffer.getChannelData(channel),
    );
    return { samples: toInt16(mixed(channels)), sampleRateHz: buffer.sampleRate };
  } catch {
    return undefined;
  }
}

/** The mean of the channels. */
export function mixed(channels: readonly Float32Array<ArrayBuffer>[]): Samples {
  const [first = new Float32Array(0), ...others] = channels;
  if (others.length === 0) return first;
  return first.map((sample, index) => {
    const sum = others.reduce((sum, channel) => sum + (channel[index] ?? 0), sample);
    return sum / channels.length;
  });
}
