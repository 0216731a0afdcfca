import { Code, ConnectError, createRouterTransport, type ServiceImpl } from '@connectrpc/connect';
import { describe, expect, test, vi } from 'vitest';
import { chatterboxErrorOf } from '../src/errors.js';
import { VoiceGender } from '../src/gen/chatterbox/v1/voice_pb.js';
import {
  type CreateVoiceRequest,
  type UpdateVoiceRequest,
  VoicesService,
} from '../src/gen/chatterbox/v1/voices_service_pb.js';
import { createChatterbox } from '../src/index.js';
import { restErrorOf } from '../src/rest-error.js';

const RECORDING = new Blob([Uint8Array.of(1, 2, 3)]);

function voicesOf(service: Partial<ServiceImpl<typeof VoicesService>>) {
  const transport = createRouterTransport((router) => router.service(VoicesService, service));
  return createChatterbox({ transport }).voices;
}

describe('a voice', () => {
  test('is made from a recording, with a report on it', async () => {
    const createVoice = vi.fn((request: CreateVoiceRequest) => ({
      name: `voices/${request.voiceId}`,
      quality: { duration: { seconds: 5n }, speechRatio: 0.8, advice: ['Speak up.'] },
    }));
    const voices = voicesOf({ createVoice });
    const voice = { id: 'mia', recording: RECORDING, consent: true, displayName: 'Mia' };
    const made = await voices.create({ ...voice, gender: 'female' });
    expect(made).toMatchObject({
      name: 'voices/mia',
      quality: { durationMs: 5_000, speechRatio: 0.8, advice: ['Speak up.'] },
    });
    expect(createVoice.mock.calls[0]?.[0]).toMatchObject({
      voiceId: 'mia',
      voice: { displayName: 'Mia', gender: VoiceGender.FEMALE },
      audio: Uint8Array.of(1, 2, 3),
      consent: true,
      validateOnly: false,
    });
    await voices.check(voice);
    expect(createVoice.mock.calls[1]?.[0]).toMatchObject({ validateOnly: true });
  });

  test('is changed only in what is given', async () => {
    const updateVoice = vi.fn((request: UpdateVoiceRequest) => request.voice ?? {});
    await voicesOf({ updateVoice }).update('mia', { displayName: '', languageCode: 'fr' });
    expect(updateVoice.mock.calls[0]?.[0]).toMatchObject({
      voice: { name: 'voices/mia', displayName: '', languageCode: 'fr' },
      updateMask: { paths: ['display_name', 'language_code'] },
    });
  });

  test('that is read-only is not deleted', async () => {
    const deleteVoice = () => {
      throw new ConnectError('it came with the installation', Code.FailedPrecondition);
    };
    await expect(voicesOf({ deleteVoice }).delete('ada')).rejects.toMatchObject({
      kind: 'conflict',
    });
  });

  test('goes out as a file and comes back', async () => {
    const pieces: Uint8Array[] = [];
    const voices = voicesOf({
      async *exportVoice() {
        yield { data: Uint8Array.of(1, 2) };
        yield { data: Uint8Array.of(3) };
      },
      async importVoice(requests) {
        let name = '';
        for await (const { voiceId, archive } of requests) {
          name ||= voiceId;
          pieces.push(archive?.data ?? new Uint8Array());
        }
        return { name: `voices/${name}` };
      },
    });
    expect(await voices.export('mia')).toEqual(Uint8Array.of(1, 2, 3));
    const archive = new Uint8Array(2_500_000).fill(7);
    expect((await voices.import(archive, { id: 'new' })).id).toBe('new');
    expect(pieces.map(({ length }) => length)).toEqual([1_048_576, 1_048_576, 402_848]);
  });
});

describe('an error of the REST side is the one of gRPC', () => {
  test('with its details', () => {
    const body = {
      code: 6,
      message: 'there is a voice mia',
      details: [
        {
          '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
          reason: 'ALREADY_EXISTS',
          domain: 'chatterbox',
          metadata: { request_id: 'r-1' },
        },
        {
          '@type': 'type.googleapis.com/google.rpc.ResourceInfo',
          resource_type: 'chatterbox/Voice',
          resource_name: 'voices/mia',
        },
      ],
    };
    const error = restErrorOf(new Response(null, { status: 409 }), body);
    expect(chatterboxErrorOf(error)).toMatchObject({
      kind: 'conflict',
      resource: 'voices/mia',
      reason: 'ALREADY_EXISTS',
      requestId: 'r-1',
      message: 'there is a voice mia',
    });
  });

  test.each([
    [413, 'invalid'],
    [503, 'unavailable'],
    [401, 'unauthenticated'],
    [418, 'internal'],
  ])('where only the edge answered %i', (status, kind) => {
    const body = { http_status: status, message: 'no', reason: 'said_so' };
    const error = restErrorOf(new Response(null, { status }), body);
    expect(chatterboxErrorOf(error)).toMatchObject({ kind, message: 'no' });
  });
});
