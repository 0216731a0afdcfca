import { describe, expect, test, vi } from 'vitest';
import { Deferred } from '../src/deferred.js';
import type { StreamingSynthesizeRequest } from '../src/gen/chatterbox/v1/synthesis_pb.js';
import { createChatterbox, type LiveInput, type SpeechEvent } from '../src/node.js';
import { audio, response, type Speaker, serverOf, started, summary } from './fake-server.js';

function speaking(live: NonNullable<Speaker['live']>) {
  return createChatterbox({ transport: serverOf({ live }) });
}

describe('a live session', () => {
  test('begins with its settings and sends each input as it comes', async () => {
    const received: StreamingSynthesizeRequest['streamingRequest'][] = [];
    const chatterbox = speaking(async function* speak(requests) {
      yield started();
      for await (const { streamingRequest } of requests) received.push(streamingRequest);
      yield summary();
    });
    async function* inputs(): AsyncGenerator<LiveInput> {
      yield 'Hel';
      yield ''; // nothing to say
      yield 'lo.';
      yield { kind: 'flush', flushId: 'a' };
      yield { kind: 'interrupt', playedMs: 1_250.5 };
      yield { kind: 'interrupt' };
    }
    const settings = { voice: 'ada', maxBufferDelayMs: 200, options: { seed: 3n } };
    await chatterbox.speakLive(inputs(), settings).collect();
    expect(received).toMatchObject([
      {
        case: 'streamingConfig',
        value: {
          voice: { name: 'voices/ada' },
          maxBufferDelay: { seconds: 0n, nanos: 200_000_000 },
          options: { seed: 3n },
        },
      },
      { case: 'input', value: { inputSource: { value: 'Hel' } } },
      { case: 'input', value: { inputSource: { value: 'lo.' } } },
      { case: 'flush', value: { flushId: 'a' } },
      { case: 'interrupt', value: { playbackOffset: { seconds: 1n, nanos: 250_500_000 } } },
      { case: 'interrupt', value: {} },
    ]);
  });

  test('speaks while text still comes', async () => {
    const chatterbox = speaking(async function* speak(requests) {
      yield started();
      for await (const { streamingRequest } of requests) {
        if (streamingRequest.case === 'input') yield audio(Int16Array.of(1));
      }
      yield summary();
    });
    const gate = new Deferred<void>();
    async function* inputs(): AsyncGenerator<string> {
      yield 'One.';
      await gate.promise; // opened by the sound of the first
      yield 'Two.';
    }
    let count = 0;
    for await (const _ of chatterbox.speakLive(inputs())) {
      count += 1;
      gate.resolve();
    }
    expect(count).toBe(2);
  });

  test('tells of flushes and interrupts', async () => {
    const offset = { seconds: 0n, nanos: 40_000_000 };
    const chatterbox = speaking(async function* speak() {
      yield started();
      yield response({
        streamingResponse: { case: 'flushDone', value: { flushId: 'a', offset } },
      });
      yield response({
        streamingResponse: { case: 'interrupted', value: { droppedText: 'rest', offset } },
      });
      yield summary();
    });
    async function* inputs(): AsyncGenerator<string> {}
    const events: SpeechEvent[] = [];
    for await (const event of chatterbox.speakLive(inputs()).events()) events.push(event);
    expect(events.slice(1, 3)).toEqual([
      { kind: 'flushed', flushId: 'a', offsetMs: 40 },
      { kind: 'interrupted', droppedText: 'rest', offsetMs: 40 },
    ]);
  });

  test('fails with the error of its own text source', async () => {
    const left = vi.fn();
    const chatterbox = speaking(async function* speak(requests, { signal }) {
      signal.addEventListener('abort', left);
      yield started();
      for await (const _ of requests) yield audio(Int16Array.of(1));
      yield summary();
    });
    const mine = new Error('the language model is out of words');
    async function* inputs(): AsyncGenerator<string> {
      yield 'One.';
      throw mine;
    }
    await expect(chatterbox.speakLive(inputs()).collect()).rejects.toBe(mine);
    await vi.waitFor(() => expect(left).toHaveBeenCalled());
  });

  test('tells its text source when nobody listens any more', async () => {
    const chatterbox = speaking(async function* speak(requests) {
      yield started();
      for await (const _ of requests) yield audio(Int16Array.of(1));
    });
    const closed = vi.fn();
    async function* inputs(): AsyncGenerator<string> {
      try {
        for (;;) {
          yield 'More. ';
          await new Promise((resume) => setTimeout(resume, 1));
        }
      } finally {
        closed();
      }
    }
    let count = 0;
    for await (const _ of chatterbox.speakLive(inputs())) {
      count += 1;
      if (count === 3) break;
    }
    await vi.waitFor(() => expect(closed).toHaveBeenCalled());
  });
});
