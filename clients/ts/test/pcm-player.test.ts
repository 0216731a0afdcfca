import { beforeEach, describe, expect, test, vi } from 'vitest';
import { Deferred } from '../src/deferred.js';
import { createChatterbox, PcmPlayer, type PcmPlayerOptions } from '../src/index.js';
import { FakeAudioContext, fakeGlobals } from './fake-audio.js';
import { endless, serverOf } from './fake-server.js';

const RATE_HZ = 24_000;
const BLOCK = new Int16Array(2_400).fill(8_192); // 100 ms

async function opened(options: PcmPlayerOptions = {}) {
  const player = await PcmPlayer.create({ prebufferMs: 0, ...options });
  return { player, card: player.context as unknown as FakeAudioContext };
}

/** A stream that a test feeds. */
function stream() {
  const format = new Deferred<{ sampleRateHz: number }>();
  const next: Deferred<IteratorResult<Int16Array<ArrayBuffer>>>[] = [new Deferred()];
  const last = (): Deferred<IteratorResult<Int16Array<ArrayBuffer>>> => {
    const deferred = next.at(-1);
    if (deferred === undefined) throw new Error('unreachable');
    return deferred;
  };
  let read = 0;
  const returned = vi.fn();
  return {
    returned,
    readCount: () => read,
    open: () => format.resolve({ sampleRateHz: RATE_HZ }),
    feed: (value = BLOCK) => {
      last().resolve({ done: false, value });
      next.push(new Deferred());
    },
    end: () => last().resolve({ done: true, value: undefined }),
    fail: (reason: Error) => {
      format.reject(reason);
      last().reject(reason);
    },
    source: {
      format: format.promise,
      [Symbol.asyncIterator]: () => ({
        next: () => {
          read += 1;
          return next[read - 1]?.promise ?? Promise.reject(new Error('nothing was fed'));
        },
        return: async () => {
          returned();
          format.reject(new Error('left'));
          last().reject(new Error('left'));
          return { done: true as const, value: undefined };
        },
      }),
    },
  };
}

const settled = (): Promise<void> => new Promise((resume) => setTimeout(resume, 1));

beforeEach(() => {
  for (const [name, value] of Object.entries(fakeGlobals)) vi.stubGlobal(name, value);
  return () => vi.unstubAllGlobals();
});

describe('the player', () => {
  test('asks for the rate of the models, and takes what it gets', async () => {
    expect((await opened()).card.sampleRate).toBe(24_000);
    vi.stubGlobal(
      'AudioContext',
      class extends FakeAudioContext {
        constructor(options: { sampleRate?: number } = {}) {
          if (options.sampleRate !== undefined) throw new DOMException('no', 'NotSupportedError');
          super();
        }
      },
    );
    expect((await opened()).card.sampleRate).toBe(48_000);
  });

  test('plays a stream to its end and says so', async () => {
    const { player, card } = await opened();
    const fed = stream();
    const onBlock = vi.fn();
    player.onEnded = vi.fn();
    const outcome = player.play(fed.source, { onBlock });
    expect(player.state).toEqual({ phase: 'buffering', underrunCount: 0, isSuspended: false });
    fed.open();
    fed.feed();
    fed.end();
    await settled();
    card.pass(50);
    expect(player.state.phase).toBe('playing');
    expect(player.positionMs).toBeCloseTo(50, -1);
    card.pass(60);
    expect(await outcome).toBe('ended');
    expect(player.onEnded).toHaveBeenCalledOnce();
    expect(player.positionMs).toBe(100);
    expect(onBlock).toHaveBeenCalledExactlyOnceWith(BLOCK);
    expect(card.heard.filter((sample) => sample === 0.25)).toHaveLength(2_400);
  });

  test('tells its listeners of each change, once', async () => {
    const { player, card } = await opened();
    await player.resume();
    const phases: string[] = [];
    const leave = player.subscribe(() => phases.push(player.state.phase));
    const before = player.state;
    expect(player.state).toBe(before);
    const played = player.play({ samples: BLOCK, sampleRateHz: RATE_HZ });
    card.pass(200);
    await played;
    leave();
    player.stop();
    expect(phases).toEqual(['buffering', 'playing', 'ended']);
  });

  test('plays a sound from anywhere', async () => {
    const { player, card } = await opened();
    const played = player.play({ samples: BLOCK, sampleRateHz: RATE_HZ }, { startMs: 60 });
    expect(player.positionMs).toBe(60);
    card.pass(10);
    expect(player.positionMs).toBeCloseTo(70, -1);
    card.pass(60);
    expect(await played).toBe('ended');
    expect(player.positionMs).toBe(100);
  });

  test('holds still while it is paused', async () => {
    const { player, card } = await opened();
    void player.play({ samples: BLOCK, sampleRateHz: RATE_HZ });
    card.pass(32);
    player.pause();
    card.pass(500);
    expect(player.state.phase).toBe('paused');
    expect(player.positionMs).toBeCloseTo(32, 0);
    await player.resume();
    card.pass(200);
    expect(player.state.phase).toBe('ended');
  });

  test('counts underruns', async () => {
    const { player, card } = await opened();
    const fed = stream();
    void player.play(fed.source);
    fed.open();
    fed.feed();
    await settled();
    card.pass(150);
    expect(player.state).toMatchObject({ phase: 'buffering', underrunCount: 0 });
    fed.feed();
    await settled();
    card.pass(50);
    expect(player.state).toMatchObject({ phase: 'playing', underrunCount: 1 });
  });

  test('reads a stream no further than its bound', async () => {
    const { player, card } = await opened({ maxQueuedMs: 250 });
    const fed = stream();
    void player.play(fed.source);
    fed.open();
    for (let count = 0; count < 10; count += 1) fed.feed();
    await settled();
    expect(fed.readCount()).toBe(3); // 300 ms are over the bound
    card.pass(100);
    await settled();
    expect(fed.readCount()).toBe(4);
  });
});

describe('the player ends a stream', () => {
  test.each(['before it is opened', 'in the middle'])('that is stopped %s', async (when) => {
    const { player } = await opened();
    const fed = stream();
    const outcome = player.play(fed.source);
    if (when === 'in the middle') {
      fed.open();
      fed.feed();
      await settled();
    }
    player.stop();
    expect(await outcome).toBe('stopped');
    expect(fed.returned).toHaveBeenCalled();
    expect(player.state.phase).toBe('idle');
  });

  test('whose signal is aborted, and no other', async () => {
    const { player } = await opened();
    const [first, second] = [stream(), stream()];
    const stop = new AbortController();
    const outcome = player.play(first.source, { signal: stop.signal });
    void player.play(second.source);
    expect(await outcome).toBe('stopped'); // the second took its place
    stop.abort();
    second.open();
    await settled();
    expect(second.returned).not.toHaveBeenCalled();
  });

  test('before it began, when its signal was aborted already', async () => {
    const { player } = await opened();
    const fed = stream();
    expect(await player.play(fed.source, { signal: AbortSignal.abort() })).toBe('stopped');
    expect(fed.returned).toHaveBeenCalled();
  });

  test('on the server', async () => {
    const { player } = await opened();
    const left = vi.fn();
    const chatterbox = createChatterbox({ transport: serverOf({ synthesize: endless(left) }) });
    const outcome = player.play(chatterbox.speak('Hello'));
    await settled();
    player.stop();
    expect(await outcome).toBe('stopped');
    await vi.waitFor(() => expect(left).toHaveBeenCalled());
  });
});

describe('a stream that fails', () => {
  test('is heard as far as it came', async () => {
    const { player, card } = await opened();
    const fed = stream();
    const outcome = player.play(fed.source);
    fed.open();
    fed.feed();
    await settled();
    fed.fail(new Error('lost'));
    await expect(outcome).rejects.toThrow('lost');
    card.pass(50);
    expect(player.state.phase).toBe('playing');
    card.pass(100);
    expect(player.state).toMatchObject({ phase: 'ended', underrunCount: 0 });
  });

  test('before its first sound leaves the player idle', async () => {
    const { player } = await opened();
    const fed = stream();
    const outcome = player.play(fed.source);
    fed.fail(new Error('no such voice'));
    await expect(outcome).rejects.toThrow('no such voice');
    expect(player.state.phase).toBe('idle');
  });
});
