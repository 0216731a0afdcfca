import { createChatterbox } from '@chatterbox/client';
import { AudioEncoding } from '@chatterbox/client/gen/chatterbox/v1/synthesis_pb';
import { VoiceConversionService } from '@chatterbox/client/gen/chatterbox/v1/voice_conversion_service_pb';
import { Code, ConnectError, createRouterTransport, type ServiceImpl } from '@connectrpc/connect';
import { beforeEach, expect, test, vi } from 'vitest';
import { play, stopPlayback, usePlayback } from '@/audio/playback';
import { chatterbox } from '@/lib/rpc';
import { clear, convert, hear, loadConversion, stop, useConversion } from './conversion';

const disk = vi.hoisted(() => new Map<string, unknown>());
vi.mock('idb-keyval', () => ({
  createStore: () => undefined,
  get: async (key: string) => disk.get(key),
  set: async (key: string, value: unknown) => disk.set(key, value),
  del: async (key: string) => disk.delete(key),
}));
vi.mock('@/lib/rpc', () => ({ chatterbox: vi.fn() }));
vi.mock('@/audio/playback', async () => {
  const { create } = await import('zustand');
  return {
    usePlayback: create(() => ({ trackId: undefined, phase: 'idle' })),
    play: vi.fn(async (trackId: string) => {
      usePlayback.setState({ trackId, phase: 'buffering' });
      usePlayback.setState({ phase: 'playing' });
      return 'ended';
    }),
    stopPlayback: vi.fn(() => usePlayback.setState({ trackId: undefined, phase: 'idle' })),
  };
});

type Convert = ServiceImpl<typeof VoiceConversionService>['convertRecording'];

const RECORDING = new Blob(['sound']);
const started = {
  convertResponse: {
    case: 'started',
    value: { voice: 'voices/ben', sampleRateHertz: 24_000, audioEncoding: AudioEncoding.PCM },
  },
} as const;
const summary = {
  convertResponse: { case: 'summary', value: { realTimeFactor: 0.25 } },
} as const;
const warning = {
  convertResponse: { case: 'warning', value: { code: 'SOURCE_DAMAGED', message: 'half a file' } },
} as const;

function audio(...samples: number[]) {
  const audioContent = new Uint8Array(Int16Array.from(samples).buffer);
  return { convertResponse: { case: 'audio', value: { audioContent } } } as const;
}

function serve(convertRecording: Convert): void {
  const transport = createRouterTransport(({ service }) => {
    service(VoiceConversionService, { convertRecording });
  });
  vi.mocked(chatterbox).mockReturnValue(createChatterbox({ transport }));
}

beforeEach(() => {
  clear();
  disk.clear();
  vi.clearAllMocks();
});

test('a conversion is played as it comes, and kept', async () => {
  serve(async function* converted() {
    yield started;
    yield audio(...new Array(240).fill(16_384));
    yield warning;
    yield audio(1, 2);
    yield summary;
  });
  await convert(RECORDING, 'ben');
  const { id, sound, peaks, ...told } = useConversion.getState();
  expect(told).toMatchObject({
    state: 'complete',
    voice: 'voices/ben',
    realTimeFactor: 0.25,
    warnings: ['half a file'],
    firstSoundMs: expect.any(Number),
  });
  expect(sound?.samples.length).toBe(242);
  expect(peaks?.bars(1)).toEqual([0.5]);
  expect(vi.mocked(play).mock.calls[0]?.[0]).toBe(id);
});

test('what came before an error stays, and so does the error', async () => {
  serve(async function* converted() {
    yield started;
    yield audio(1, 2);
    throw new ConnectError('lost', Code.Unavailable);
  });
  await convert(RECORDING, '');
  expect(useConversion.getState()).toMatchObject({
    state: 'failed',
    error: { kind: 'unavailable' },
    sound: { samples: Int16Array.of(1, 2), sampleRateHz: 24_000 },
  });
});

test('a refusal leaves no sound', async () => {
  serve(async function* refused() {
    yield* [];
    throw new ConnectError('no such voice', Code.NotFound);
  });
  await convert(RECORDING, 'nobody');
  expect(useConversion.getState()).toMatchObject({ state: 'failed', error: { kind: 'not-found' } });
  expect(useConversion.getState().sound).toBeUndefined();
});

test('stopping ends the call and the sound', async () => {
  const left = vi.fn();
  serve(async function* endless(_request, { signal }) {
    signal.addEventListener('abort', left);
    yield started;
    for (;;) {
      yield audio(1);
      await new Promise((resume) => setTimeout(resume, 1));
    }
  });
  const converting = convert(RECORDING, 'ben');
  await vi.waitFor(() => expect(useConversion.getState().tape?.joined().length).toBeGreaterThan(2));
  stop();
  await converting;
  expect(useConversion.getState().state).toBe('stopped');
  expect(useConversion.getState().sound?.samples.length).toBeGreaterThan(2);
  expect(stopPlayback).toHaveBeenCalled();
  await vi.waitFor(() => expect(left).toHaveBeenCalled());
});

test('one that goes on while its source is played is not stopped by that', async () => {
  let goOn: (() => void) | undefined;
  serve(async function* converted() {
    yield started;
    await new Promise<void>((resolve) => {
      goOn = resolve;
    });
    yield audio(1);
    yield summary;
  });
  const converting = convert(RECORDING, 'ben');
  await vi.waitFor(() => expect(goOn).toBeDefined());
  await play('convert-source', { samples: Int16Array.of(0), sampleRateHz: 24_000 });
  goOn?.();
  await converting;
  expect(useConversion.getState().state).toBe('complete');
});

test('a new conversion takes the place of one that is under way', async () => {
  serve(async function* converted({ voice }) {
    yield started;
    if (voice?.name === 'voices/slow') await new Promise((resume) => setTimeout(resume, 20));
    yield audio(voice?.name === 'voices/slow' ? 1 : 2);
    yield summary;
  });
  const first = convert(RECORDING, 'slow');
  await convert(RECORDING, 'fast');
  await first;
  expect(useConversion.getState()).toMatchObject({
    state: 'complete',
    sound: { samples: Int16Array.of(2) },
  });
});

test('the whole is heard again from anywhere', async () => {
  serve(async function* converted() {
    yield started;
    yield audio(1, 2);
    yield summary;
  });
  await convert(RECORDING, 'ben');
  await hear(40);
  const { id, sound } = useConversion.getState();
  expect(play).toHaveBeenLastCalledWith(id, sound, { startMs: 40 });
});

test('what is complete is there again when the page is loaded again, until it is cleared', async () => {
  serve(async function* converted() {
    yield started;
    yield audio(1, 2);
    yield summary;
  });
  await convert(RECORDING, 'ben');
  useConversion.setState(useConversion.getInitialState(), true);
  await loadConversion();
  expect(useConversion.getState()).toMatchObject({
    state: 'complete',
    voice: 'voices/ben',
    sound: { samples: Int16Array.of(1, 2), sampleRateHz: 24_000 },
  });
  clear();
  await loadConversion();
  expect(useConversion.getState().state).toBe('empty');
});

test('half a conversion is not kept', async () => {
  serve(async function* converted() {
    yield started;
    yield audio(1, 2);
    throw new ConnectError('lost', Code.Unavailable);
  });
  await convert(RECORDING, 'ben');
  expect(disk.has('result')).toBe(false);
});
