import { expect, test } from 'vitest';
import { isVoiceId, voiceIdOf } from './voice-id';

test.each([
  ['Mia', 'mia'],
  ['Zoë Müller', 'zoe-muller'],
  ['  Uncle  Bob (deep)  ', 'uncle-bob-deep'],
  ['2nd voice', 'nd-voice'],
  ['声', 'voice'],
  ['x'.repeat(99), 'x'.repeat(63)],
])('of the name %s it is %s', (name, id) => {
  expect(voiceIdOf(name)).toBe(id);
  expect(isVoiceId(id)).toBe(true);
});

test.each(['', '-a', 'a-', 'A', 'a b', '1a', 'a'.repeat(64)])('%j is none', (id) => {
  expect(isVoiceId(id)).toBe(false);
});
