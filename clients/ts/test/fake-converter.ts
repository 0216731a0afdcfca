/** A server in memory that converts as a test tells it to. */

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { createRouterTransport, type HandlerContext, type Transport } from '@connectrpc/connect';
import {
  type ConvertRecordingRequest,
  type ConvertVoiceRequest,
  type ConvertVoiceResponse,
  ConvertVoiceResponseSchema,
} from '../src/gen/chatterbox/v1/conversion_pb.js';
import { AudioEncoding } from '../src/gen/chatterbox/v1/synthesis_pb.js';
import { VoiceConversionService } from '../src/gen/chatterbox/v1/voice_conversion_service_pb.js';
import { RATE_HZ } from './fake-server.js';

type Responses = AsyncGenerator<ConvertVoiceResponse>;

/** How the server converts; what is left out it does not offer. */
export interface FakeConverter {
  convertRecording?: (request: ConvertRecordingRequest, context: HandlerContext) => Responses;
  convertVoice?: (
    requests: AsyncIterable<ConvertVoiceRequest>,
    context: HandlerContext,
  ) => Responses;
}

export function converterOf(methods: FakeConverter): Transport {
  return createRouterTransport((router) => {
    router.service(VoiceConversionService, methods);
  });
}

type Said = MessageInitShape<typeof ConvertVoiceResponseSchema>['convertResponse'];

function response(convertResponse: NonNullable<Said>): ConvertVoiceResponse {
  return create(ConvertVoiceResponseSchema, { convertResponse });
}

export function began(audioEncoding = AudioEncoding.PCM): ConvertVoiceResponse {
  return response({
    case: 'started',
    value: {
      requestId: 'c-1',
      model: 'models/tiny',
      voice: 'voices/ben',
      audioEncoding,
      sampleRateHertz: RATE_HZ,
      seed: 9_007_199_254_740_993n, // no double holds it
      watermarked: true,
    },
  });
}

export function sound(...samples: number[]): ConvertVoiceResponse {
  const audioContent = new Uint8Array(Int16Array.from(samples).buffer);
  return response({
    case: 'audio',
    value: { audioContent, offset: { seconds: 1n, nanos: 500_000_000 } },
  });
}

export function damaged(): ConvertVoiceResponse {
  return response({ case: 'warning', value: { code: 'SOURCE_DAMAGED', message: 'half a file' } });
}

export function summed(): ConvertVoiceResponse {
  return response({
    case: 'summary',
    value: {
      sourceDuration: { seconds: 2n },
      audioDuration: { seconds: 2n, nanos: 250_000_000 },
      timeToFirstAudio: { nanos: 120_000_000 },
      conversionDuration: { seconds: 1n },
      computeDuration: { nanos: 500_000_000 },
      realTimeFactor: 0.25,
    },
  });
}

/** A conversion of a few samples, start to end. */
export async function* converted(): Responses {
  yield began();
  yield sound(1, -2, 3);
  yield damaged();
  yield sound(-32_768, 32_767);
  yield summed();
}
