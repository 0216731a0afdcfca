import { beforeEach, expect, test, vi } from 'vitest';
import { keptStorage } from './kept';

const disk = vi.hoisted(() => ({
  values: new Map<string, unknown>(),
  write: async (): Promise<void> => undefined,
}));

vi.mock('idb-keyval', () => ({
  createStore: () => undefined,
  get: async (name: string) => disk.values.get(name),
  set: async (name: string, value: unknown) => {
    await disk.write();
    disk.values.set(name, value);
  },
  del: async (name: string) => disk.values.delete(name),
}));

beforeEach(() => {
  localStorage.clear();
  disk.values.clear();
  disk.write = async () => undefined;
  vi.useFakeTimers({ now: 1_000 });
});

/** Writes some texts, a second apart. */
async function write(...texts: readonly string[]): Promise<void> {
  const storage = keptStorage<string>();
  for (const state of texts) {
    storage.setItem('store', { state, version: 1 });
    await vi.advanceTimersByTimeAsync(1_000);
  }
}

async function found(): Promise<string | undefined> {
  return (await keptStorage<string>().getItem('store'))?.state;
}

test('there is nothing at first', async () => {
  expect(await keptStorage().getItem('store')).toBeNull();
});

test('a change is there when the page goes before the disk has it', async () => {
  await write('first');
  disk.write = () => new Promise(() => undefined);
  await write('second');
  expect(await found()).toBe('second');
});

test('a change is there when the browser crashes before it writes localStorage', async () => {
  await write('first');
  const old = localStorage.getItem('store') ?? '';
  await write('second');
  localStorage.setItem('store', old);
  expect(await found()).toBe('second');
  localStorage.clear();
  expect(await found()).toBe('second');
});

test('while the disk is busy only the last of several changes waits for it', async () => {
  let writes = 0;
  disk.write = async () => {
    writes += 1;
    await new Promise((resolve) => setTimeout(resolve, 5_000));
  };
  await write('first', 'second', 'third');
  await vi.advanceTimersByTimeAsync(20_000);
  expect(writes).toBe(2);
  localStorage.clear();
  expect(await found()).toBe('third');
});

test('full disks stop nobody', async () => {
  disk.write = () => Promise.reject(new DOMException('full', 'QuotaExceededError'));
  await write('first', 'second');
  expect(await found()).toBe('second');
  vi.spyOn(Storage.prototype, 'setItem').mockImplementation(() => {
    throw new DOMException('full', 'QuotaExceededError');
  });
  disk.write = async () => undefined;
  await write('third');
  expect(await found()).toBe('third');
  vi.restoreAllMocks();
});

test('what is removed is gone', async () => {
  await write('first');
  await keptStorage().removeItem('store');
  expect(await found()).toBeUndefined();
});
