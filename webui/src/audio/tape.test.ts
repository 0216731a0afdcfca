import { expect, test } from 'vitest';
import { Tape } from './tape';

const format = Promise.resolve({ sampleRateHz: 24_000 });

async function heard(tape: Tape): Promise<number[]> {
  const samples: number[] = [];
  for await (const block of tape) samples.push(...block);
  return samples;
}

test('is heard from its beginning by everybody, whenever they come', async () => {
  const tape = new Tape(format);
  const early = heard(tape);
  tape.add(Int16Array.of(1, 2));
  await Promise.resolve();
  const late = heard(tape);
  tape.add(Int16Array.of(3));
  tape.end();
  expect(await early).toEqual([1, 2, 3]);
  expect(await late).toEqual([1, 2, 3]);
  expect(await heard(tape)).toEqual([1, 2, 3]);
  expect(tape.joined()).toEqual(Int16Array.of(1, 2, 3));
});

test('goes on when a listener leaves', async () => {
  const tape = new Tape(format);
  tape.add(Int16Array.of(1));
  for await (const _ of tape) break;
  tape.add(Int16Array.of(2));
  tape.end();
  expect(await heard(tape)).toEqual([1, 2]);
});
