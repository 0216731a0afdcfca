/** Against a whole stack of tones, at the address that CHATTERBOX_TEST_URL gives. */

import { afterAll, describe, expect, test, vi } from 'vitest';
import { type ChatterboxError, createChatterbox as overGrpcWeb } from '../src/index.js';
import { createChatterbox as overGrpc } from '../src/node.js';

const baseUrl = process.env['CHATTERBOX_TEST_URL'] ?? '';
const SENTENCE = 'This sentence is spoken over and over again. ';
const LONG = SENTENCE.repeat(200);
const ENDLESS = SENTENCE.repeat(2_000);
const UNREACHABLE = 'http://127.0.0.1:9'; // the discard service, which nobody runs

const node = overGrpc({ baseUrl: baseUrl || UNREACHABLE });
afterAll(() => node.close());

async function errorOf(promise: Promise<unknown>): Promise<ChatterboxError> {
  return promise.then(
    () => expect.unreachable('it should have failed'),
    (error) => error,
  );
}

async function activeStreams(): Promise<number> {
  const backends = await node.cluster.list();
  return backends.reduce((sum, { activeStreams }) => sum + activeStreams, 0);
}

describe.skipIf(baseUrl === '').each([
  ['gRPC-Web', overGrpcWeb({ baseUrl })],
  ['gRPC', node],
])('over %s', (_name, chatterbox) => {
  test('a text is spoken, the same for the same seed', async () => {
    const [voice] = await chatterbox.voices.list();
    const request = { text: 'Hello there.', voice: voice?.id, options: { seed: 7 } };
    const [first, second] = await Promise.all([
      chatterbox.speak(request).collect(),
      chatterbox.speak(request).collect(),
    ]);
    expect(first.started).toMatchObject({ voice: voice?.name, seed: 7n });
    expect(first.samples.length).toBeGreaterThan(first.sampleRateHz / 10);
    expect(first.samples).toEqual(second.samples);
    const durationMs = (first.samples.length / first.sampleRateHz) * 1_000;
    expect(first.summary.audioMs).toBeCloseTo(durationMs, 3);
    expect(first.summary.characterCount).toBe('Hello there.'.length);
  });

  test('chunks follow one another on the clock of the stream', async () => {
    let endMs = 0;
    const speech = chatterbox.speak('One sentence. And another one.');
    const { sampleRateHz } = await speech.format;
    for await (const event of speech.events()) {
      if (event.kind !== 'audio') continue;
      expect(event.offsetMs).toBeCloseTo(endMs, 3);
      endMs += (event.samples.length / sampleRateHz) * 1_000;
    }
    expect((await speech.summary).audioMs).toBeCloseTo(endMs, 3);
  });

  // So long that no buffer on the way holds it: the call goes on until somebody ends it.
  test('an abort frees the place on the server', async () => {
    const stop = new AbortController();
    const speech = chatterbox.speak(ENDLESS, { signal: stop.signal });
    const read = async () => {
      for await (const _ of speech) {
        expect(await activeStreams()).toBeGreaterThan(0);
        stop.abort();
      }
    };
    expect((await errorOf(read())).kind).toBe('cancelled');
    await vi.waitFor(async () => expect(await activeStreams()).toBe(0), { timeout: 10_000 });
  });

  test('leaving the loop frees the place on the server', async () => {
    for await (const _ of chatterbox.speak(ENDLESS)) {
      expect(await activeStreams()).toBeGreaterThan(0);
      break;
    }
    await vi.waitFor(async () => expect(await activeStreams()).toBe(0), { timeout: 10_000 });
  });

  test('errors tell the field, the thing and the call', async () => {
    const requestId = 'a-call-of-mine';
    const call = { requestId };
    const wrong = { text: 'Hello', options: { temperature: 9 } };
    expect(await errorOf(chatterbox.speak(wrong, call).collect())).toMatchObject({
      kind: 'invalid',
      field: 'options.temperature',
      requestId,
    });
    const unknown = { text: 'Hello', voice: 'nobody' };
    expect(await errorOf(chatterbox.speak(unknown, call).collect())).toMatchObject({
      kind: 'not-found',
      resource: 'voices/nobody',
      requestId,
    });
    expect(await errorOf(chatterbox.speak('', call).collect())).toMatchObject({
      kind: 'invalid',
      reason: 'NOTHING_TO_SPEAK',
    });
  });

  test.each([
    ['wav', 'RIFF'],
    ['mp3', ''],
    ['opus', 'OggS'],
    ['flac', 'fLaC'],
    ['mulaw', ''],
  ] as const)('files of format %s are written', async (format, magic) => {
    const file = await chatterbox.render('Hello there.', format);
    expect(String.fromCharCode(...file.bytes.slice(0, magic.length))).toBe(magic);
    expect(file.bytes.length).toBeGreaterThan(1_000);
    expect(file.summary.audioMs).toBeGreaterThan(100);
  });

  test('speech is had faster and at another rate', async () => {
    const { samples: plain } = await chatterbox.speak({ text: SENTENCE }).collect();
    const request = { text: SENTENCE, speakingRate: 2, sampleRateHz: 48_000 };
    const { samples, sampleRateHz } = await chatterbox.speak(request).collect();
    expect(sampleRateHz).toBe(48_000);
    expect(samples.length / plain.length).toBeCloseTo(1, 0); // twice as fast, twice as many
  });

  test('each word is told when it is said', async () => {
    const request = { text: 'One two. Three, four.', wordTimings: true };
    const { words, summary } = await chatterbox.speak(request).collect();
    expect(words.map(({ word }) => word)).toEqual(['One', 'two.', 'Three,', 'four.']);
    const edges = words.flatMap(({ startMs, endMs }) => [startMs, endMs]);
    expect(edges).toEqual(edges.toSorted((a, b) => a - b));
    expect(edges.at(-1)).toBeLessThanOrEqual(summary.audioMs);
  });

  test('voices, models and backends are listed', async () => {
    const voices = await chatterbox.voices.list();
    const [voice] = voices;
    expect(voice).toBeDefined();
    expect(await chatterbox.voices.get(voice?.id ?? '')).toEqual(voice);
    const [model] = await chatterbox.models.list();
    expect(model?.sampleRateHz).toBe(24_000);
    expect(model?.parameters.map(({ option }) => option)).toContain('seed');
    expect(await chatterbox.models.get(model?.name ?? '')).toEqual(model);
    const backends = await chatterbox.cluster.list();
    expect(backends.map(({ state }) => state)).toEqual(['serving', 'serving']);
  });

  test('voices are given out, and what is none is not taken in', async () => {
    const [voice] = await chatterbox.voices.list();
    const name = voice?.name ?? '';
    const archive = await chatterbox.voices.export(name);
    expect(String.fromCharCode(...archive.slice(0, 2))).toBe('PK');
    const garbage = { recording: new Blob(['no sound']), consent: true };
    expect(await errorOf(chatterbox.voices.create({ id: 'mia', ...garbage }))).toMatchObject({
      kind: 'invalid',
      field: 'audio',
      reason: 'AUDIO_UNREADABLE',
    });
    const taken = chatterbox.voices.import(new Blob(['no archive']), { id: 'mia', consent: true });
    expect(await errorOf(taken)).toMatchObject({ kind: 'invalid', reason: 'ARCHIVE_UNREADABLE' });
    expect(await errorOf(chatterbox.voices.delete(name))).toMatchObject({
      kind: 'conflict',
      reason: 'READ_ONLY',
    });
  });

  test('a backend is drained and takes calls again', async () => {
    const [backend] = await chatterbox.cluster.list();
    const name = backend?.name ?? '';
    expect((await chatterbox.cluster.drain(name)).state).toBe('drained');
    expect((await chatterbox.cluster.undrain(name)).state).toBe('serving');
    expect(await errorOf(chatterbox.cluster.drain('nobody'))).toMatchObject({
      kind: 'not-found',
    });
  });
});

describe.skipIf(baseUrl === '')('live', () => {
  test('a sentence is heard before the next is written', async () => {
    let written = 0;
    let heardFirst: (() => void) | undefined;
    const heard = new Promise<void>((resolve) => {
      heardFirst = resolve;
    });
    async function* inputs() {
      for (const word of ['The first ', 'sentence is complete. ', 'And']) {
        written += 1;
        yield word;
      }
      await heard; // of the first sentence, while this one is not complete
      written += 1;
      yield ' this is the second.';
    }
    let samples = 0;
    for await (const block of node.speakLive(inputs(), { options: { seed: 1n } })) {
      if (samples === 0) expect(written).toBeLessThan(4);
      samples += block.length;
      heardFirst?.();
    }
    expect(written).toBe(4);
    expect(samples).toBeGreaterThan(24_000);
  });

  test('a flush and an interrupt are acknowledged', async () => {
    async function* inputs() {
      yield 'Half a sentence';
      yield { kind: 'flush', flushId: 'now' } as const;
      await flushed;
      yield LONG;
      yield { kind: 'interrupt' } as const;
    }
    let resolveFlushed: (() => void) | undefined;
    const flushed = new Promise<void>((resolve) => {
      resolveFlushed = resolve;
    });
    const kinds: string[] = [];
    let dropped = '';
    for await (const event of node.speakLive(inputs()).events()) {
      if (event.kind !== 'audio') kinds.push(event.kind);
      if (event.kind === 'flushed') {
        expect(event.flushId).toBe('now');
        resolveFlushed?.();
      }
      if (event.kind === 'interrupted') dropped = event.droppedText;
    }
    expect(kinds).toEqual(['started', 'flushed', 'interrupted', 'summary']);
    expect(dropped.length).toBeGreaterThan(1_000);
  });

  test('an abort ends a session that waits for text', async () => {
    const stop = new AbortController();
    async function* inputs() {
      yield 'One. ';
      await new Promise(() => undefined); // for ever
    }
    const speech = node.speakLive(inputs(), {}, { signal: stop.signal });
    const collected = errorOf(speech.collect());
    await speech.started;
    stop.abort();
    expect((await collected).kind).toBe('cancelled');
    await vi.waitFor(async () => expect(await activeStreams()).toBe(0), { timeout: 10_000 });
  });
});

describe('a server out of reach', () => {
  test.each([
    ['gRPC-Web', overGrpcWeb({ baseUrl: UNREACHABLE })],
    ['gRPC', overGrpc({ baseUrl: UNREACHABLE })],
  ])('is unavailable over %s', async (_name, chatterbox) => {
    expect(await errorOf(chatterbox.speak('Hello').collect())).toMatchObject({
      kind: 'unavailable',
      retryAfterMs: 1_000,
    });
    expect(await errorOf(chatterbox.voices.list())).toMatchObject({ kind: 'unavailable' });
  });
});
