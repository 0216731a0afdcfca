import { Code, ConnectError, createRouterTransport } from '@connectrpc/connect';
import { describe, expect, test } from 'vitest';
import { AdminService } from '../src/gen/chatterbox/v1/admin_service_pb.js';
import { Backend_State } from '../src/gen/chatterbox/v1/backend_pb.js';
import { ModelsService } from '../src/gen/chatterbox/v1/models_service_pb.js';
import { VoiceGender } from '../src/gen/chatterbox/v1/voice_pb.js';
import { VoicesService } from '../src/gen/chatterbox/v1/voices_service_pb.js';
import { createChatterbox } from '../src/index.js';

describe('voices', () => {
  const transport = createRouterTransport(({ service }) => {
    service(VoicesService, {
      listVoices: ({ pageToken }) => {
        const page = Number(pageToken || 0);
        const nextPageToken = page < 2 ? String(page + 1) : '';
        return { voices: [{ name: `voices/v${page}`, gender: VoiceGender.FEMALE }], nextPageToken };
      },
      getVoice: ({ name }) => {
        if (name !== 'voices/ada') throw new ConnectError('no such voice', Code.NotFound);
        return {
          name,
          displayName: 'Ada',
          languageCode: 'en',
          models: ['models/tiny'],
          createTime: { seconds: 1n },
        };
      },
    });
  });
  const { voices } = createChatterbox({ transport });

  test('are listed over all pages', async () => {
    const listed = await voices.list();
    expect(listed.map(({ id }) => id)).toEqual(['v0', 'v1', 'v2']);
    expect(listed[0]).toMatchObject({ name: 'voices/v0', gender: 'female' });
  });

  test.each(['ada', 'voices/ada'])('are found by %s', async (nameOrId) => {
    const voice = await voices.get(nameOrId);
    expect(voice).toEqual({
      name: 'voices/ada',
      id: 'ada',
      displayName: 'Ada',
      description: '',
      languageCode: 'en',
      gender: 'unspecified',
      models: ['models/tiny'],
      isReadOnly: false,
      createdAt: new Date(1_000),
      updatedAt: undefined,
      consentedAt: undefined,
      quality: undefined,
    });
    expect(structuredClone(voice)).toEqual(voice);
  });

  test('that do not exist are an error', async () => {
    await expect(voices.get('nobody')).rejects.toMatchObject({ kind: 'not-found' });
  });

  test('are not waited for after the signal', async () => {
    const signal = AbortSignal.abort();
    await expect(voices.list({ signal })).rejects.toMatchObject({ kind: 'cancelled' });
  });
});

test('a model tells the options it knows', async () => {
  const transport = createRouterTransport(({ service }) => {
    service(ModelsService, {
      listModels: () => ({
        models: [
          {
            name: 'models/tiny',
            sampleRateHertz: 24_000,
            outputSampleRatesHertz: [8_000, 24_000],
            minReferenceDuration: { seconds: 3n },
            parameters: [
              { name: 'seed', maximum: 2 ** 63, integer: true },
              { name: 'cfg_weight', maximum: 1, defaultValue: 0 },
              { name: 'top_p', exclusiveMinimum: true, maximum: 1, defaultValue: 0.95 },
              { name: 'of_a_newer_server', maximum: 1 },
            ],
          },
        ],
      }),
    });
  });
  const [model] = await createChatterbox({ transport }).models.list();
  expect(model).toMatchObject({
    id: 'tiny',
    sampleRateHz: 24_000,
    outputSampleRatesHz: [8_000, 24_000],
    minReferenceMs: 3_000,
  });
  const range = { minimum: 0, maximum: 1, isMinimumExclusive: false, isInteger: false };
  expect(model?.parameters).toEqual([
    { ...range, option: 'seed', maximum: 2 ** 63, isInteger: true, defaultValue: undefined },
    { ...range, option: 'cfgWeight', defaultValue: 0 },
    { ...range, option: 'topP', isMinimumExclusive: true, defaultValue: 0.95 },
  ]);
});

describe('the cluster', () => {
  const transport = createRouterTransport(({ service }) => {
    const backend = (state: Backend_State) => ({
      name: 'backends/127.0.0.1-50051',
      state,
      queuedAudio: { seconds: 1n, nanos: 500_000_000 },
      residentVoices: ['voices/ada'],
      totals: {
        calls: 7n,
        audio: { seconds: 60n },
        timeToFirstAudio: { upperBoundsSeconds: [0.1, 0.2], counts: [5n, 1n, 1n] },
      },
    });
    service(AdminService, {
      getBalancer: () => ({ activeCalls: 3, waitingCalls: 1, totals: { retries: 2n } }),
      listBackends: () => ({ backends: [backend(Backend_State.SERVING)] }),
      drainBackend: ({ name }) => ({ ...backend(Backend_State.DRAINED), name }),
      undrainBackend: ({ name }) => ({ ...backend(Backend_State.SERVING), name }),
    });
  });
  const { cluster } = createChatterbox({ transport });

  test('tells of its balancer', async () => {
    expect(await cluster.balancer()).toMatchObject({
      activeCalls: 3,
      waitingCalls: 1,
      totals: { calls: 0, retries: 2 },
    });
  });

  test('is listed, drained and undrained', async () => {
    const [backend] = await cluster.list();
    expect(backend).toMatchObject({
      id: '127.0.0.1-50051',
      state: 'serving',
      queuedAudioMs: 1_500,
    });
    expect(backend?.residentVoices).toEqual(['voices/ada']);
    expect(backend?.totals).toEqual({
      calls: 7,
      failedCalls: 0,
      audioMs: 60_000,
      underruns: 0,
      timeToFirstAudio: { upperBoundsMs: [100, 200], counts: [5, 1, 1] },
    });
    const name = 'backends/127.0.0.1-50051';
    expect(await cluster.drain('127.0.0.1-50051')).toMatchObject({ name, state: 'drained' });
    expect(await cluster.undrain(name)).toMatchObject({ name, state: 'serving' });
  });
});
