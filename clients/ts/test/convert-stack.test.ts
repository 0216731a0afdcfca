/** Conversion by a whole stack of tones, at the address that CHATTERBOX_TEST_URL gives. */

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createChatterbox as overGrpcWeb } from '../src/index.js';
import { createChatterbox as overGrpc } from '../src/node.js';

const baseUrl = process.env['CHATTERBOX_TEST_URL'] ?? '';
const TEXT = 'Whoever says this says it again in another voice. '.repeat(3);

const node = overGrpc({ baseUrl: baseUrl || 'http://127.0.0.1:9' });
afterAll(() => node.close());

async function activeStreams(): Promise<number> {
  const backends = await node.cluster.list();
  return backends.reduce((sum, { activeStreams }) => sum + activeStreams, 0);
}

/** A file as it comes from a disk or a network. */
async function* inPieces(file: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < file.length; offset += 4_000) {
    yield file.subarray(offset, offset + 4_000);
  }
}

let recording = new Uint8Array(0);
let voice = '';
beforeAll(async () => {
  if (baseUrl === '') return;
  const [first, second] = await node.voices.list();
  recording = await node.speak({ text: TEXT, voice: first?.id }).toWav();
  voice = second?.name ?? '';
});

describe.skipIf(baseUrl === '').each([
  ['gRPC-Web', overGrpcWeb({ baseUrl })],
  ['gRPC', node],
])('over %s', (_name, chatterbox) => {
  test('a recording is said in another voice, as long as it was', async () => {
    const request = { recording, voice, seed: 7 };
    const { samples, sampleRateHz, started, summary } = await chatterbox.convert(request).collect();
    expect(started).toMatchObject({ voice, seed: 7n });
    const lengthMs = (samples.length / sampleRateHz) * 1_000;
    expect(summary.audioMs).toBeCloseTo(lengthMs, 3);
    expect(lengthMs).toBeCloseTo(summary.sourceMs, -1);
    expect(summary.sourceMs).toBeGreaterThan(1_000);
  });

  test('errors tell the field and the thing', async () => {
    const garbage = { recording: new Blob(['no sound '.repeat(100)]), voice };
    await expect(chatterbox.convert(garbage).collect()).rejects.toMatchObject({
      kind: 'invalid',
      field: 'audio',
      reason: 'AUDIO_UNREADABLE',
    });
    const unknown = { recording, voice: 'nobody' };
    await expect(chatterbox.convert(unknown).collect()).rejects.toMatchObject({
      kind: 'not-found',
      resource: 'voices/nobody',
    });
  });

  test('leaving the loop frees the place on the server', async () => {
    for await (const _ of chatterbox.convert({ recording, voice })) break;
    await vi.waitFor(async () => expect(await activeStreams()).toBe(0), { timeout: 10_000 });
  });
});

describe.skipIf(baseUrl === '')('live', () => {
  test('sound in pieces becomes what it becomes as a whole', async () => {
    const whole = await node.convert({ recording, voice, seed: 7 }).collect();
    const settings = { voice, seed: 7 };
    const live = await node.convertLive(inPieces(recording), settings).collect();
    expect(live.samples).toEqual(whole.samples);
  });

  test('a refusal tells its reason', async () => {
    const conversion = node.convertLive(inPieces(recording), { voice: 'nobody' });
    await expect(conversion.collect()).rejects.toMatchObject({
      kind: 'not-found',
      resource: 'voices/nobody',
    });
  });

  test('an abort ends a conversion that waits for sound', async () => {
    const stop = new AbortController();
    async function* source() {
      yield recording.subarray(0, 8_000);
      await new Promise(() => undefined); // for ever
    }
    const conversion = node.convertLive(source(), { voice }, { signal: stop.signal });
    await conversion.started;
    await vi.waitFor(async () => expect(await activeStreams()).toBe(1), { timeout: 10_000 });
    stop.abort();
    await expect(conversion.collect()).rejects.toMatchObject({ kind: 'cancelled' });
    await vi.waitFor(async () => expect(await activeStreams()).toBe(0), { timeout: 10_000 });
  });
});
