import { Code, ConnectError } from '@connectrpc/connect';
import { describe, expect, test, vi } from 'vitest';
import { AudioEncoding } from '../src/gen/chatterbox/v1/synthesis_pb.js';
import { type ChatterboxError, createChatterbox, type SpeechEvent } from '../src/index.js';
import {
  audio,
  endless,
  RATE_HZ,
  response,
  sentence,
  serverOf,
  started,
  summary,
} from './fake-server.js';

function speaking(synthesize: Parameters<typeof serverOf>[0]['synthesize'] = sentence) {
  return createChatterbox({ transport: serverOf(synthesize === undefined ? {} : { synthesize }) });
}

async function errorOf(promise: Promise<unknown>): Promise<ChatterboxError> {
  return promise.then(
    () => expect.unreachable('it should have failed'),
    (error) => error,
  );
}

describe('a speech', () => {
  test('is samples in the order they were sent, bit for bit', async () => {
    const blocks: Int16Array[] = [];
    for await (const block of speaking().speak('Hello')) blocks.push(block);
    expect(blocks).toEqual([Int16Array.of(1, -2, 3), Int16Array.of(-32_768, 32_767)]);
  });

  test('is everything the server says, in order', async () => {
    const events: SpeechEvent[] = [];
    for await (const event of speaking().speak('Hello').events()) events.push(event);
    expect(events.map(({ kind }) => kind)).toEqual([
      'started',
      'audio',
      'warning',
      'audio',
      'summary',
    ]);
    expect(events[1]).toMatchObject({ offsetMs: 1_500, segmentIndex: 2 });
  });

  test('tells the settings in force before it is read', async () => {
    const speech = speaking(endless(() => undefined)).speak('Hello');
    expect(await speech.format).toEqual({ sampleRateHz: RATE_HZ, channels: 1 });
    expect(await speech.started).toMatchObject({
      requestId: 'r-1',
      model: 'models/tiny',
      voice: 'voices/ada',
      seed: 9_007_199_254_740_993n,
    });
    expect(speech.timings.startedMs).toBeGreaterThanOrEqual(0);
    expect(speech.timings.firstAudioMs).toBeUndefined();
    await speech.events().return?.();
  });

  test('tells when each word is said', async () => {
    const timing = (word: string, startMs: number) => ({
      word,
      startOffset: { nanos: startMs * 1e6 },
      endOffset: { nanos: (startMs + 80) * 1e6 },
      segmentIndex: 1,
    });
    const synthesize = vi.fn(async function* speak() {
      yield started();
      yield audio(Int16Array.of(1));
      const words = [timing('Hello', 40), timing('there', 200)];
      yield response({ streamingResponse: { case: 'wordTimings', value: { words } } });
      yield summary();
    });
    const events: SpeechEvent[] = [];
    const speech = speaking(synthesize).speak({ text: 'Hello there', wordTimings: true });
    for await (const event of speech.events()) events.push(event);
    expect(events[2]).toEqual({
      kind: 'words',
      words: [
        { word: 'Hello', startMs: 40, endMs: 120, segmentIndex: 1 },
        { word: 'there', startMs: 200, endMs: 280, segmentIndex: 1 },
      ],
    });
    expect(speech.words.map(({ word }) => word)).toEqual(['Hello', 'there']);
    expect(synthesize.mock.calls[0]?.slice(0, 1)).toMatchObject([{ enableWordTimings: true }]);
  });

  test('comes as a whole, with its summary and warnings', async () => {
    const speech = speaking().speak('Hello');
    const whole = await speech.collect();
    expect(whole.samples).toEqual(Int16Array.of(1, -2, 3, -32_768, 32_767));
    expect(whole.sampleRateHz).toBe(RATE_HZ);
    expect(whole.warnings).toMatchObject([{ code: 'OPTION_IGNORED' }]);
    expect(whole.summary).toMatchObject({
      audioMs: 2_250,
      characterCount: 5,
      realTimeFactor: 0.25,
    });
    const { startedMs, firstAudioMs, finishedMs } = speech.timings;
    expect([startedMs, firstAudioMs, finishedMs].toSorted((a = 0, b = 0) => a - b)).toEqual([
      startedMs,
      firstAudioMs,
      finishedMs,
    ]);
  });

  test('is a WAV file when asked', async () => {
    const file = await speaking().speak('Hello').toWav();
    expect(new TextDecoder().decode(file.slice(0, 4))).toBe('RIFF');
    expect(file.length).toBe(44 + 5 * 2);
  });

  test('can be read only once', () => {
    const speech = speaking().speak('Hello');
    speech.events();
    expect(() => speech.events()).toThrow(TypeError);
  });

  test('reads nothing ahead of its reader', async () => {
    let sent = 0;
    const speech = speaking(async function* speak() {
      yield started();
      for (; sent < 1_000; sent += 1) yield audio(new Int16Array(1));
      yield summary();
    }).speak('Hello');
    await speech.started;
    await new Promise((resume) => setTimeout(resume, 20));
    expect(sent).toBeLessThan(10);
    await speech.collect();
    expect(sent).toBe(1_000);
  });

  test('skips what a newer server says', async () => {
    const speech = speaking(async function* speak() {
      yield started();
      yield { ...audio(new Int16Array(1)), streamingResponse: { case: undefined } };
      yield summary();
    }).speak('Hello');
    expect((await speech.collect()).samples).toHaveLength(0);
  });
});

describe('a speech ends on the server', () => {
  test('when its signal is aborted', async () => {
    const left = vi.fn();
    const stop = new AbortController();
    const speech = speaking(endless(left)).speak('Hello', { signal: stop.signal });
    const error = errorOf(
      (async () => {
        for await (const _ of speech) stop.abort();
      })(),
    );
    expect(await error).toMatchObject({ name: 'ChatterboxError', kind: 'cancelled' });
    await vi.waitFor(() => expect(left).toHaveBeenCalled());
    expect(await errorOf(speech.summary)).toMatchObject({ kind: 'cancelled' });
  });

  test('when its reader leaves', async () => {
    const left = vi.fn();
    const speech = speaking(endless(left)).speak('Hello');
    for await (const _ of speech) break;
    await vi.waitFor(() => expect(left).toHaveBeenCalled());
    expect(await errorOf(speech.summary)).toMatchObject({ kind: 'cancelled' });
  });

  test('when its reader leaves while it waits', async () => {
    const left = vi.fn();
    const speech = speaking(async function* speak(_request, { signal }) {
      signal.addEventListener('abort', left);
      yield started();
      await new Promise((resume) => signal.addEventListener('abort', resume));
    }).speak('Hello');
    const blocks = speech[Symbol.asyncIterator]();
    const waiting = errorOf(blocks.next());
    await speech.started;
    await new Promise((resume) => setTimeout(resume, 5)); // it has asked for more by now
    await blocks.return?.();
    expect(await waiting).toMatchObject({ kind: 'cancelled' });
    await vi.waitFor(() => expect(left).toHaveBeenCalled());
  });

  test('before it began, when the signal was aborted already', async () => {
    const synthesize = vi.fn(sentence);
    const speech = speaking(synthesize).speak('Hello', { signal: AbortSignal.abort() });
    expect(await errorOf(speech.collect())).toMatchObject({ kind: 'cancelled' });
  });
});

describe('a speech fails', () => {
  test('in the middle, after what came before', async () => {
    const speech = speaking(async function* speak() {
      yield started();
      yield audio(Int16Array.of(7));
      throw new ConnectError('lost', Code.Unavailable);
    }).speak('Hello');
    const blocks: Int16Array[] = [];
    const error = await errorOf(
      (async () => {
        for await (const block of speech) blocks.push(block);
      })(),
    );
    expect(blocks).toEqual([Int16Array.of(7)]);
    expect(error).toMatchObject({ kind: 'unavailable' });
    expect(await errorOf(speech.summary)).toBe(error);
  });

  test('when it ends without its summary', async () => {
    const speech = speaking(async function* speak() {
      yield started();
    }).speak('Hello');
    expect(await errorOf(speech.collect())).toMatchObject({ kind: 'internal' });
  });

  test('when it takes too long', async () => {
    const chatterbox = speaking(endless(() => undefined));
    const error = await errorOf(chatterbox.speak('Hello', { timeoutMs: 20 }).collect());
    expect(error).toMatchObject({ kind: 'timeout' });
  });

  test('where the server does not speak', async () => {
    const chatterbox = createChatterbox({ transport: serverOf({}) });
    expect(await errorOf(chatterbox.speak('Hello').collect())).toMatchObject({
      kind: 'unsupported',
    });
  });

  test('unseen when nobody asks', async () => {
    const unhandled = vi.fn();
    process.on('unhandledRejection', unhandled);
    const speech = createChatterbox({ transport: serverOf({}) }).speak('Hello');
    await speech.started.catch(() => undefined);
    await new Promise((resume) => setTimeout(resume, 10));
    process.off('unhandledRejection', unhandled);
    expect(unhandled).not.toHaveBeenCalled();
  });

  test.each([-0.5, Number.NaN, 2 ** 63])('for a seed of %d', async (seed) => {
    const speech = speaking().speak({ text: 'Hello', options: { seed } });
    expect(await errorOf(speech.collect())).toMatchObject({
      kind: 'invalid',
      field: 'options.seed',
    });
  });
});

describe('a request', () => {
  test('carries the settings, names made of ids', async () => {
    const synthesize = vi.fn(sentence);
    const chatterbox = speaking(synthesize);
    await chatterbox
      .speak({
        text: 'Hello',
        voice: 'ben',
        model: 'models/tiny',
        languageCode: 'en',
        options: { seed: 7, temperature: 0, topK: 50 },
        speakingRate: 1.5,
        volumeGainDb: -3,
        sampleRateHz: 16_000,
        pronunciations: { GIF: 'jiff' },
        reference: { recording: new Blob([Uint8Array.of(1, 2)]), consent: true },
      })
      .collect();
    expect(synthesize.mock.calls[0]?.slice(0, 1)).toMatchObject([
      {
        input: { inputSource: { case: 'text', value: 'Hello' } },
        voice: {
          name: 'voices/ben',
          model: 'models/tiny',
          languageCode: 'en',
          referenceAudio: { content: Uint8Array.of(1, 2), consent: true },
        },
        options: { seed: 7n, temperature: 0, topK: 50 },
        audioConfig: {
          audioEncoding: AudioEncoding.PCM,
          speakingRate: 1.5,
          volumeGainDb: -3,
          sampleRateHertz: 16_000,
        },
        pronunciations: [{ phrase: 'GIF', spokenAs: 'jiff' }],
      },
    ]);
  });

  test('leaves everything to the server where nothing is said', async () => {
    const synthesize = vi.fn(sentence);
    await speaking(synthesize).speak('Hello').collect();
    const [request] = synthesize.mock.calls[0] as unknown as [Record<string, unknown>];
    expect(request['voice']).toMatchObject({ name: '', model: '', languageCode: '' });
    expect(request['options']).toBeUndefined();
  });

  test('carries the key of the moment and its own id', async () => {
    const headers: (string | null)[] = [];
    const transport = serverOf({
      async *synthesize(_request, { requestHeader }) {
        headers.push(requestHeader.get('authorization'), requestHeader.get('x-request-id'));
        yield* sentence();
      },
    });
    let key = 'first';
    const chatterbox = createChatterbox({ transport, apiKey: async () => key });
    await chatterbox.speak('Hello', { requestId: 'mine' }).collect();
    key = '';
    await chatterbox.speak('Hello').collect();
    expect(headers).toEqual(['Bearer first', 'mine', null, null]);
  });
});
