/** What speech and conversion tell alike, out of the messages of the contract. */

import { durationMs } from './duration.js';
import { failure } from './errors.js';
import type { ConversionStarted as WireConversionStarted } from './gen/chatterbox/v1/conversion_pb.js';
import {
  AudioEncoding,
  type AudioChunk as WireChunk,
  type SynthesisStarted as WireSynthesisStarted,
  type SynthesisWarning as WireWarning,
} from './gen/chatterbox/v1/synthesis_pb.js';
import { samplesOf } from './pcm.js';
import type { SoundBlock, SoundStarted, SoundWarning } from './sound-stream.js';

/** The settings in force; fails where the server sends another encoding than was asked for. */
export function startedOf(
  wire: WireSynthesisStarted | WireConversionStarted,
  encoding: AudioEncoding,
): SoundStarted {
  if (wire.audioEncoding !== encoding) {
    const [sent, wanted] = [AudioEncoding[wire.audioEncoding], AudioEncoding[encoding]];
    throw failure({ kind: 'internal' }, `the server sends ${sent} where ${wanted} was asked for`);
  }
  return {
    requestId: wire.requestId,
    model: wire.model,
    voice: wire.voice,
    sampleRateHz: wire.sampleRateHertz,
    seed: wire.seed,
    isWatermarked: wire.watermarked,
  };
}

/** The events in the messages of a server; kinds that this package does not know are skipped. */
export async function* eventsOf<Message, Event>(
  messages: AsyncIterable<Message>,
  eventOf: (message: Message) => Event | undefined,
): AsyncGenerator<Event> {
  for await (const message of messages) {
    const event = eventOf(message);
    if (event !== undefined) yield event;
  }
}

export function blockOf({ audioContent, offset, segmentIndex }: WireChunk): SoundBlock {
  return { samples: samplesOf(audioContent), offsetMs: durationMs(offset), segmentIndex };
}

export function warningOf({ code, message }: WireWarning): SoundWarning {
  return { code, message };
}
