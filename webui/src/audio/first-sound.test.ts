import { beforeEach, expect, test, vi } from 'vitest';
import { onFirstSound } from './first-sound';
import { usePlayback } from './playback';

beforeEach(() => usePlayback.setState({ trackId: undefined, phase: 'idle' }));

test('it is told once, however long it takes and whatever was played before', () => {
  const heard = vi.fn();
  onFirstSound('mine', heard);
  usePlayback.setState({ trackId: 'other', phase: 'playing' });
  usePlayback.setState({ trackId: 'mine', phase: 'buffering' });
  expect(heard).not.toHaveBeenCalled();
  for (const phase of ['playing', 'paused', 'playing'] as const) usePlayback.setState({ phase });
  expect(heard).toHaveBeenCalledOnce();
});

test('what was displaced before it was heard is not told later', () => {
  const heard = vi.fn();
  onFirstSound('mine', heard);
  usePlayback.setState({ trackId: 'mine', phase: 'buffering' });
  usePlayback.setState({ trackId: 'other', phase: 'playing' });
  usePlayback.setState({ trackId: 'mine', phase: 'playing' });
  expect(heard).not.toHaveBeenCalled();
});

test('nobody is told who listens no more', () => {
  const heard = vi.fn();
  onFirstSound('mine', heard)();
  usePlayback.setState({ trackId: 'mine', phase: 'playing' });
  expect(heard).not.toHaveBeenCalled();
});
