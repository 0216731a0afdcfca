import { expect, test } from 'vitest';
import { BlockGatherer } from '../src/audio/capture-worklet.js';
import { levelOf } from '../src/audio/microphone.js';
import { microphoneErrorOf } from '../src/audio/microphone-error.js';
import { isMicrophoneError, Microphone } from '../src/index.js';

test('blocks of one size are gathered from pieces, channels made one', () => {
  const blocks: Float32Array[] = [];
  const gatherer = new BlockGatherer(3, (block) => blocks.push(block));
  gatherer.add([Float32Array.of(1, 0), Float32Array.of(0, 1)]);
  gatherer.add([]);
  gatherer.add([Float32Array.of(0.25, 0.5, 0.75, 1)]);
  expect(blocks).toEqual([Float32Array.of(0.5, 0.5, 0.25), Float32Array.of(0.5, 0.75, 1)]);
});

test('a level is how loud it seems and its largest sample', () => {
  expect(levelOf(Float32Array.of(0.6, -0.8))).toEqual({
    rms: expect.closeTo(Math.SQRT1_2, 5),
    peak: expect.closeTo(0.8, 5),
  });
  expect(levelOf(new Float32Array(0))).toEqual({ rms: 0, peak: 0 });
});

test.each([
  ['NotAllowedError', 'denied'],
  ['NotFoundError', 'missing'],
  ['NotReadableError', 'busy'],
  ['WhateverError', 'failed'],
])('a %s of the browser is a microphone error: %s', (name, kind) => {
  const cause = new DOMException('x', name);
  expect(microphoneErrorOf(cause)).toMatchObject({ name: 'MicrophoneError', kind, cause });
});

test('there is no microphone where pages may have none', async () => {
  const error = await Microphone.open().catch((reason) => reason);
  expect(isMicrophoneError(error)).toBe(true);
  expect(error).toMatchObject({ kind: 'insecure' });
});
