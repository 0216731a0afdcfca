import { Code, ConnectError } from '@connectrpc/connect';
import { describe, expect, test, vi } from 'vitest';
import { Deferred } from '../src/deferred.js';
import type { ConvertVoiceRequest } from '../src/gen/chatterbox/v1/conversion_pb.js';
import { createChatterbox } from '../src/node.js';
import { began, converterOf, type FakeConverter, sound, summed } from './fake-converter.js';

function converting(convertVoice: NonNullable<FakeConverter['convertVoice']>) {
  return createChatterbox({ transport: converterOf({ convertVoice }) });
}

describe('a live conversion', () => {
  test('begins with its settings and sends the sound in pieces that the server takes', async () => {
    const received: ConvertVoiceRequest['convertRequest'][] = [];
    const chatterbox = converting(async function* convert(requests) {
      yield began();
      for await (const { convertRequest } of requests) received.push(convertRequest);
      yield summed();
    });
    async function* source(): AsyncGenerator<Uint8Array> {
      yield Uint8Array.of(1, 2);
      yield new Uint8Array(0); // nothing to send
      yield new Uint8Array(1_048_576 + 1);
    }
    const settings = { voice: 'ben', seed: 3n, pcmRateHz: 16_000 };
    await chatterbox.convertLive(source(), settings).collect();
    expect(received[0]).toMatchObject({
      case: 'config',
      value: { voice: { name: 'voices/ben' }, seed: 3n, source: { sampleRateHertz: 16_000 } },
    });
    const pieces = received.slice(1).map(({ case: kind, value }) => {
      return kind === 'audio' ? value.length : kind;
    });
    expect(pieces).toEqual([2, 1_048_576, 1]);
  });

  test('is heard while its source still comes', async () => {
    const chatterbox = converting(async function* convert(requests) {
      yield began();
      for await (const { convertRequest } of requests) {
        if (convertRequest.case === 'audio') yield sound(1);
      }
      yield summed();
    });
    const gate = new Deferred<void>();
    async function* source(): AsyncGenerator<Uint8Array> {
      yield Uint8Array.of(1);
      await gate.promise; // opened by the sound of the first
      yield Uint8Array.of(2);
    }
    let count = 0;
    for await (const _ of chatterbox.convertLive(source())) {
      count += 1;
      gate.resolve();
    }
    expect(count).toBe(2);
  });

  test('reads nothing of its source when it is refused', async () => {
    const chatterbox = converting(async function* convert(requests) {
      for await (const { convertRequest } of requests) {
        if (convertRequest.case === 'config') throw new ConnectError('nobody', Code.NotFound);
      }
      yield began();
    });
    const read = vi.fn();
    async function* source(): AsyncGenerator<Uint8Array> {
      read();
      yield Uint8Array.of(1);
    }
    const collected = chatterbox.convertLive(source(), { voice: 'nobody' }).collect();
    await expect(collected).rejects.toMatchObject({ kind: 'not-found' });
    expect(read).not.toHaveBeenCalled();
  });

  test('fails with the error of its own source', async () => {
    const chatterbox = converting(async function* convert(requests) {
      yield began();
      for await (const _ of requests) yield sound(1);
      yield summed();
    });
    const mine = new Error('the microphone was pulled out');
    async function* source(): AsyncGenerator<Uint8Array> {
      yield Uint8Array.of(1);
      throw mine;
    }
    await expect(chatterbox.convertLive(source()).collect()).rejects.toBe(mine);
  });

  test('tells its source when nobody listens any more', async () => {
    const chatterbox = converting(async function* convert(requests) {
      yield began();
      for await (const _ of requests) yield sound(1);
    });
    const closed = vi.fn();
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) {
          yield Uint8Array.of(1);
          await new Promise((resume) => setTimeout(resume, 1));
        }
      } finally {
        closed();
      }
    }
    let count = 0;
    for await (const _ of chatterbox.convertLive(source())) {
      count += 1;
      if (count === 3) break;
    }
    await vi.waitFor(() => expect(closed).toHaveBeenCalled());
  });
});
