import { expect, test } from 'vitest';
import { encodeWav, toFloat32, toInt16 } from '../src/index.js';
import { samplesOf } from '../src/pcm.js';

test('samples are read from bytes that begin at an odd address', () => {
  const bytes = Uint8Array.of(99, 0x01, 0x00, 0xff, 0x7f, 0x00, 0x80).subarray(1);
  expect(samplesOf(bytes)).toEqual(Int16Array.of(1, 32_767, -32_768));
  expect(samplesOf(Buffer.from(bytes))).toEqual(Int16Array.of(1, 32_767, -32_768));
});

test('both kinds of samples are the same sound', () => {
  const samples = Int16Array.of(0, 1, -1, 32_767, -32_768);
  expect(toInt16(toFloat32(samples))).toEqual(samples);
  expect(toFloat32(samples)[4]).toBe(-1);
});

test('what is too loud is cut off, not wrapped', () => {
  expect(toInt16(Float32Array.of(1.5, -1.5, 1))).toEqual(Int16Array.of(32_767, -32_768, 32_767));
});

test('a WAV file has a header that tells its length', () => {
  const file = encodeWav({ samples: Int16Array.of(1, -1), sampleRateHz: 16_000 });
  const view = new DataView(file.buffer);
  expect(view.getUint32(4, true)).toBe(file.length - 8);
  expect(view.getUint32(24, true)).toBe(16_000);
  expect(view.getUint32(28, true)).toBe(32_000);
  expect(view.getUint32(40, true)).toBe(4);
  expect(view.getInt16(44, true)).toBe(1);
  expect(view.getInt16(46, true)).toBe(-1);
});
