/** A server in memory, which answers what a test tells it to. */

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { createRouterTransport, type HandlerContext, type Transport } from '@connectrpc/connect';
import {
  AudioEncoding,
  type StreamingSynthesizeRequest,
  type StreamingSynthesizeResponse,
  StreamingSynthesizeResponseSchema,
  type SynthesizeRequest,
} from '../src/gen/chatterbox/v1/synthesis_pb.js';
import { TextToSpeechService } from '../src/gen/chatterbox/v1/text_to_speech_service_pb.js';

export const RATE_HZ = 24_000;

type Responses = AsyncGenerator<StreamingSynthesizeResponse>;

/** How the server speaks; what is left out it does not offer. */
export interface Speaker {
  synthesize?: (request: SynthesizeRequest, context: HandlerContext) => Responses;
  live?: (
    requests: AsyncIterable<StreamingSynthesizeRequest>,
    context: HandlerContext,
  ) => Responses;
}

export function serverOf({ synthesize, live }: Speaker): Transport {
  return createRouterTransport((router) => {
    router.service(TextToSpeechService, {
      ...(synthesize === undefined ? {} : { synthesize }),
      ...(live === undefined ? {} : { streamingSynthesize: live }),
    });
  });
}

/** A message of the server. */
export function response(
  message: MessageInitShape<typeof StreamingSynthesizeResponseSchema>,
): StreamingSynthesizeResponse {
  return create(StreamingSynthesizeResponseSchema, message);
}

export function started(audioEncoding = AudioEncoding.PCM): StreamingSynthesizeResponse {
  return response({
    streamingResponse: {
      case: 'started',
      value: {
        requestId: 'r-1',
        model: 'models/tiny',
        voice: 'voices/ada',
        audioEncoding,
        sampleRateHertz: RATE_HZ,
        seed: 9_007_199_254_740_993n, // no double holds it
      },
    },
  });
}

export function audio(samples: Int16Array, sequence = 0): StreamingSynthesizeResponse {
  const audioContent = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  return response({
    streamingResponse: {
      case: 'audio',
      value: {
        audioContent,
        sequence: BigInt(sequence),
        offset: { seconds: 1n, nanos: 500_000_000 },
        segmentIndex: 2,
      },
    },
  });
}

export function warning(code: string): StreamingSynthesizeResponse {
  const value = { code, message: `about ${code}` };
  return response({ streamingResponse: { case: 'warning', value } });
}

export function summary(): StreamingSynthesizeResponse {
  return response({
    streamingResponse: {
      case: 'summary',
      value: {
        audioDuration: { seconds: 2n, nanos: 250_000_000 },
        characterCount: 5,
        segmentCount: 1,
        realTimeFactor: 0.25,
      },
    },
  });
}

/** An utterance of a few samples, start to end. */
export async function* sentence(): Responses {
  yield started();
  yield audio(Int16Array.of(1, -2, 3), 0);
  yield warning('OPTION_IGNORED');
  yield audio(Int16Array.of(-32_768, 32_767), 1);
  yield summary();
}

/** Speaks until the client leaves, and tells that it has. */
export function endless(left: () => void): NonNullable<Speaker['synthesize']> {
  return async function* speak(_request, { signal }) {
    signal.addEventListener('abort', left);
    yield started();
    for (let sequence = 0; ; sequence += 1) {
      yield audio(new Int16Array(480), sequence);
      await new Promise((resume) => setTimeout(resume, 1));
    }
  };
}
