/** Sound as it comes, to be said in another voice. */

import { create } from '@bufbuild/protobuf';
import { type ConversionSettings, wireConversion } from './convert-request.js';
import {
  type ConvertVoiceRequest,
  ConvertVoiceRequestSchema,
} from './gen/chatterbox/v1/conversion_pb.js';
import { untilAborted } from './until-aborted.js';

const MAX_PIECE_BYTES = 1_048_576;

/**
 * The messages of a conversion: its settings, and once these were `accepted` the sound. Some
 * transports lose the reason of a refusal that comes while they send.
 */
export async function* liveSource(
  settings: ConversionSettings,
  chunks: AsyncIterable<Uint8Array>,
  accepted: Promise<void>,
  signal: AbortSignal,
  fail: (reason: unknown) => void,
): AsyncGenerator<ConvertVoiceRequest> {
  const source = untilAborted(chunks, signal, fail);
  const config = await wireConversion(settings);
  yield create(ConvertVoiceRequestSchema, { convertRequest: { case: 'config', value: config } });
  await accepted;
  for await (const chunk of source) {
    for (let offset = 0; offset < chunk.length; offset += MAX_PIECE_BYTES) {
      const value = chunk.subarray(offset, offset + MAX_PIECE_BYTES);
      yield create(ConvertVoiceRequestSchema, { convertRequest: { case: 'audio', value } });
    }
  }
}
