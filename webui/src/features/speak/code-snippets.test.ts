import { expect, test } from 'vitest';
import { LANGUAGES, openaiLacks, snippet } from './code-snippets';

const REQUEST = {
  text: 'She said "no", and\nleft.',
  voice: 'ada',
  options: { seed: 7n, temperature: 0.4 },
};

test.each(LANGUAGES)('%s says the text and whose key it is', (language) => {
  const code = snippet(language, REQUEST, { url: 'http://127.0.0.1:8080', hasKey: true });
  expect(code).toContain('ada');
  expect(code).toContain('CHATTERBOX_API_KEY');
  expect(code).toContain('\\"no\\"');
});

test('what is not set is not written', () => {
  const code = snippet('Python', { text: 'Hello.' }, { url: 'http://h:1', hasKey: false });
  expect(code).not.toMatch(/seed|temperature|CHATTERBOX_API_KEY|undefined/);
});

test('tells what OpenAI has no field for', () => {
  expect(openaiLacks(REQUEST)).toEqual(['temperature']);
});
