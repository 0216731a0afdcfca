import { expect, test } from 'vitest';
import { decode, mixed } from './decode';

test('mixes channels to one', () => {
  const left = Float32Array.of(1, 0, -0.5);
  const right = Float32Array.of(0, 0.5, -0.5);
  expect(mixed([left, right])).toEqual(Float32Array.of(0.5, 0.25, -0.5));
  expect(mixed([left])).toBe(left);
});

test('tells nothing of a file that the browser cannot read', async () => {
  expect(await decode(new Blob(['no sound']))).toBeUndefined();
});
