import { expect, test } from 'vitest';
import { cut } from './cut';

const squeezed = (text: string): string => text.replace(/\s+/g, '');

test('cuts at paragraphs, and joins one that is too short to be spoken alone', () => {
  expect(cut('The first paragraph is here.\n\nSo is the second one, too.', 300)).toEqual([
    'The first paragraph is here.',
    'So is the second one, too.',
  ]);
  expect(cut('No.\n\nThat is what she said to him.', 300)).toEqual([
    'No. That is what she said to him.',
  ]);
});

test('nothing is lost, and nothing is longer than it may be', () => {
  const text = `${'A sentence of some words, with a clause in it. '.repeat(20)}\n\n${'x'.repeat(950)}`;
  for (const most of [60, 120, 300]) {
    const takes = cut(text, most);
    expect(squeezed(takes.join(' '))).toBe(squeezed(text));
    expect(Math.max(...takes.map((take) => take.length))).toBeLessThanOrEqual(most);
  }
});

test('cuts no character in half', () => {
  for (const take of cut('😀'.repeat(100), 31)) expect(take.isWellFormed()).toBe(true);
});

test('of nothing there are no takes', () => {
  expect(cut(' \n\n ', 300)).toEqual([]);
});
