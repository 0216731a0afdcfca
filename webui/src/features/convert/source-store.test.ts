import { MAX_RECORDING_BYTES } from '@chatterbox/client';
import { beforeEach, expect, test, vi } from 'vitest';
import { decode } from '@/audio/decode';
import { Peaks } from '@/audio/peaks';
import {
  dropSource,
  isSmallEnough,
  loadSource,
  type ReadySource,
  recordingOf,
  takeSource,
  useSource,
} from './source-store';

const disk = vi.hoisted(() => new Map<string, unknown>());
vi.mock('idb-keyval', () => ({
  createStore: () => undefined,
  get: async (key: string) => disk.get(key),
  set: async (key: string, value: unknown) => disk.set(key, value),
  del: async (key: string) => disk.delete(key),
}));
vi.mock('@/audio/decode', () => ({ decode: vi.fn() }));

const SOUND = { samples: new Int16Array(480), sampleRateHz: 24_000 };

function file(name: string, bytes = 3): File {
  return new File([new Uint8Array(bytes)], name);
}

function ready(fileBytes: number, samples?: number): ReadySource {
  const source = { kind: 'ready', file: file('a.wav', fileBytes) } as const;
  if (samples === undefined) return source;
  const sound = { samples: new Int16Array(samples), sampleRateHz: 24_000 };
  return { ...source, sound: { ...sound, peaks: Peaks.of(sound.samples, 24_000) } };
}

beforeEach(() => {
  disk.clear();
  useSource.setState({ kind: 'none' }, true);
  vi.mocked(decode).mockResolvedValue(SOUND);
});

test('a recording is read, and its outline drawn', async () => {
  const taking = takeSource(file('a.wav'));
  expect(useSource.getState()).toMatchObject({ kind: 'reading', file: { name: 'a.wav' } });
  await taking;
  const source = useSource.getState();
  expect(source).toMatchObject({ kind: 'ready', sound: SOUND });
  expect(source.kind === 'ready' && source.sound?.peaks.durationMs).toBe(20);
});

test('a recording that this browser cannot read is kept all the same', async () => {
  vi.mocked(decode).mockResolvedValue(undefined);
  await takeSource(file('a.ogg'));
  expect(useSource.getState()).toEqual({ kind: 'ready', file: expect.any(File) });
});

test('the last recording wins, however long an earlier one takes to be read', async () => {
  let finish: (() => void) | undefined;
  vi.mocked(decode).mockReturnValueOnce(
    new Promise((resolve) => {
      finish = () => resolve(SOUND);
    }),
  );
  const first = takeSource(file('slow.wav'));
  await takeSource(file('fast.wav'));
  finish?.();
  await first;
  expect(useSource.getState()).toMatchObject({ kind: 'ready', file: { name: 'fast.wav' } });
});

test('a recording is there again when the page is loaded again, until it is dropped', async () => {
  await takeSource(file('a.wav'));
  useSource.setState({ kind: 'none' }, true);
  await loadSource();
  expect(useSource.getState()).toMatchObject({ kind: 'ready', file: { name: 'a.wav' } });
  await dropSource();
  await loadSource();
  expect(useSource.getState()).toEqual({ kind: 'none' });
});

test('what is there already is not replaced by what was kept', async () => {
  disk.set('source', file('old.wav'));
  await takeSource(file('new.wav'));
  await loadSource();
  expect(useSource.getState()).toMatchObject({ file: { name: 'new.wav' } });
});

test('a file that is small enough is sent as it is', () => {
  const source = ready(MAX_RECORDING_BYTES, 480);
  expect(isSmallEnough(source)).toBe(true);
  expect(recordingOf(source)).toBe(source.file);
});

test('of a file that is too large only its sound is sent', () => {
  const source = ready(MAX_RECORDING_BYTES + 1, 480);
  expect(isSmallEnough(source)).toBe(true);
  expect(recordingOf(source).size).toBe(44 + 960);
});

test.each([
  ['the file, of which nothing is known', undefined],
  ['the file and the sound in it', MAX_RECORDING_BYTES / 2],
])('nothing is sent where too large is %s', (_what, samples) => {
  expect(isSmallEnough(ready(MAX_RECORDING_BYTES + 1, samples))).toBe(false);
});
