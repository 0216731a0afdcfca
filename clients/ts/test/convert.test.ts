import { Code, ConnectError } from '@connectrpc/connect';
import { describe, expect, test, vi } from 'vitest';
import { SourceEncoding } from '../src/gen/chatterbox/v1/conversion_pb.js';
import { AudioEncoding } from '../src/gen/chatterbox/v1/synthesis_pb.js';
import { type ConversionEvent, createChatterbox, MAX_RECORDING_BYTES } from '../src/index.js';
import {
  began,
  converted,
  converterOf,
  type FakeConverter,
  sound,
  summed,
} from './fake-converter.js';
import { RATE_HZ } from './fake-server.js';

const recording = Uint8Array.of(1, 2, 3);

function converting(convertRecording: NonNullable<FakeConverter['convertRecording']> = converted) {
  return createChatterbox({ transport: converterOf({ convertRecording }) });
}

describe('a conversion', () => {
  test('is everything the server says, in order', async () => {
    const events: ConversionEvent[] = [];
    for await (const event of converting().convert({ recording }).events()) events.push(event);
    expect(events).toMatchObject([
      { kind: 'started', requestId: 'c-1', voice: 'voices/ben', isWatermarked: true },
      { kind: 'audio', offsetMs: 1_500, samples: Int16Array.of(1, -2, 3) },
      { kind: 'warning', code: 'SOURCE_DAMAGED' },
      { kind: 'audio', samples: Int16Array.of(-32_768, 32_767) },
      { kind: 'summary', sourceMs: 2_000 },
    ]);
  });

  test('comes as a whole, with its summary and warnings', async () => {
    const whole = await converting().convert({ recording }).collect();
    expect(whole.samples).toEqual(Int16Array.of(1, -2, 3, -32_768, 32_767));
    expect(whole).toMatchObject({
      sampleRateHz: RATE_HZ,
      started: { seed: 9_007_199_254_740_993n },
      summary: {
        sourceMs: 2_000,
        audioMs: 2_250,
        timeToFirstAudioMs: 120,
        conversionMs: 1_000,
        computeMs: 500,
        realTimeFactor: 0.25,
      },
      warnings: [{ code: 'SOURCE_DAMAGED', message: 'half a file' }],
    });
  });

  test('is a WAV file when asked', async () => {
    const file = await converting().convert({ recording }).toWav();
    expect(new TextDecoder().decode(file.slice(0, 4))).toBe('RIFF');
    expect(file.length).toBe(44 + 5 * 2);
  });

  test('can be played: it is samples, and tells their rate', async () => {
    const conversion = converting().convert({ recording });
    expect(await conversion.format).toEqual({ sampleRateHz: RATE_HZ, channels: 1 });
    const blocks: Int16Array[] = [];
    for await (const block of conversion) blocks.push(block);
    expect(blocks).toEqual([Int16Array.of(1, -2, 3), Int16Array.of(-32_768, 32_767)]);
  });

  test('ends on the server when its reader leaves', async () => {
    const left = vi.fn();
    const chatterbox = converting(async function* convert(_request, { signal }) {
      signal.addEventListener('abort', left);
      yield began();
      for (;;) {
        yield sound(0, 0, 0);
        await new Promise((resume) => setTimeout(resume, 1));
      }
    });
    for await (const _ of chatterbox.convert({ recording })) break;
    await vi.waitFor(() => expect(left).toHaveBeenCalled());
  });

  test('ends when its signal is aborted', async () => {
    const stop = new AbortController();
    const conversion = converting().convert({ recording }, { signal: stop.signal });
    await conversion.started;
    stop.abort();
    await expect(conversion.collect()).rejects.toMatchObject({ kind: 'cancelled' });
  });

  test('skips what a newer server says', async () => {
    const chatterbox = converting(async function* convert() {
      yield began();
      yield { ...sound(1), convertResponse: { case: undefined } };
      yield summed();
    });
    expect((await chatterbox.convert({ recording }).collect()).samples).toHaveLength(0);
  });
});

describe('a conversion fails', () => {
  test.each([
    [Code.InvalidArgument, 'invalid'],
    [Code.ResourceExhausted, 'overloaded'],
    [Code.NotFound, 'not-found'],
    [Code.Unavailable, 'unavailable'],
  ])('as a speech does, for code %d', async (code, kind) => {
    const chatterbox = converting(async function* convert() {
      yield began();
      throw new ConnectError('no', code);
    });
    const collected = chatterbox.convert({ recording }).collect();
    await expect(collected).rejects.toMatchObject({ name: 'ChatterboxError', kind });
  });

  test('where the server sends another encoding than was asked for', async () => {
    const chatterbox = converting(async function* convert() {
      yield began(AudioEncoding.MP3);
    });
    const collected = chatterbox.convert({ recording }).collect();
    await expect(collected).rejects.toMatchObject({ kind: 'internal' });
  });

  test('where the server does not convert', async () => {
    const chatterbox = createChatterbox({ transport: converterOf({}) });
    const collected = chatterbox.convert({ recording }).collect();
    await expect(collected).rejects.toMatchObject({ kind: 'unsupported' });
  });

  test.each([
    ['bytes', new Uint8Array(MAX_RECORDING_BYTES + 1)],
    ['a file', new Blob([new Uint8Array(MAX_RECORDING_BYTES + 1)])],
  ])('before anything is sent, for too many: %s', async (_what, tooMuch) => {
    const convert = vi.fn(converted);
    const collected = converting(convert).convert({ recording: tooMuch }).collect();
    await expect(collected).rejects.toMatchObject({
      kind: 'invalid',
      field: 'audio',
      reason: 'TOO_LARGE',
    });
    expect(convert).not.toHaveBeenCalled();
  });

  test.each([-1, 0.5, 2 ** 63])('for a seed of %d', async (seed) => {
    const collected = converting().convert({ recording, seed }).collect();
    await expect(collected).rejects.toMatchObject({ kind: 'invalid', field: 'seed' });
  });
});

describe('a request', () => {
  test('carries the recording and the settings, names made of ids', async () => {
    const convert = vi.fn(converted);
    await converting(convert)
      .convert({
        recording: new Blob([recording]),
        voice: 'ben',
        model: 'tiny',
        seed: 7,
        pcmRateHz: 16_000,
        speakingRate: 1.5,
        volumeGainDb: -3,
        sampleRateHz: 48_000,
      })
      .collect();
    expect(convert.mock.calls[0]?.slice(0, 1)).toMatchObject([
      {
        audio: { data: recording },
        voice: { name: 'voices/ben', model: 'models/tiny' },
        seed: 7n,
        source: { encoding: SourceEncoding.PCM, sampleRateHertz: 16_000 },
        audioConfig: {
          audioEncoding: AudioEncoding.PCM,
          speakingRate: 1.5,
          volumeGainDb: -3,
          sampleRateHertz: 48_000,
        },
      },
    ]);
  });

  test('carries a recording to speak like in place of a voice', async () => {
    const convert = vi.fn(converted);
    const reference = { recording: Uint8Array.of(9), consent: true };
    await converting(convert).convert({ recording, reference }).collect();
    expect(convert.mock.calls[0]?.slice(0, 1)).toMatchObject([
      { voice: { name: '', referenceAudio: { content: Uint8Array.of(9), consent: true } } },
    ]);
  });

  test('leaves everything to the server where nothing is said', async () => {
    const convert = vi.fn(converted);
    await converting(convert).convert({ recording }).collect();
    const [request] = convert.mock.calls[0] as unknown as [Record<string, unknown>];
    expect(request['voice']).toMatchObject({ name: '', model: '' });
    expect(request['seed']).toBeUndefined();
    expect(request['source']).toBeUndefined();
  });
});
