import { describe, expect, test } from 'vitest';
import { Playout, Resampler, SampleQueue } from '../src/audio/pcm-worklet.js';

const RATE_HZ = 24_000;
const QUANTUM = 128;

/** Whole-number samples that tell their place: 1, 2, 3 and so on, over full scale. */
function ramp(first: number, count: number): Int16Array {
  return Int16Array.from({ length: count }, (_, index) => first + index);
}

function placesIn(output: Float32Array): number[] {
  return [...output].map((sample) => sample * 32_768);
}

describe('the queue', () => {
  test('gives samples of both kinds in order across its blocks', () => {
    const queue = new SampleQueue();
    queue.push(Int16Array.of(16_384, -32_768));
    queue.push(new Int16Array(0));
    queue.push(Float32Array.of(0.25));
    expect(queue.length).toBe(3);
    expect([queue.shift(), queue.shift(), queue.shift()]).toEqual([0.5, -1, 0.25]);
    expect(queue.length).toBe(0);
    expect(queue.shift()).toBe(0);
  });

  test('forgets what it holds', () => {
    const queue = new SampleQueue();
    queue.push(ramp(1, 10));
    queue.shift();
    queue.clear();
    queue.push(Float32Array.of(0.5));
    expect([queue.length, queue.shift()]).toEqual([1, 0.5]);
  });
});

describe('the resampler', () => {
  test('changes nothing where the rates are the same', () => {
    const queue = new SampleQueue();
    queue.push(ramp(1, 5));
    const resampler = new Resampler(queue, 1);
    const read = Float32Array.from({ length: 5 }, () => resampler.read());
    expect(placesIn(read)).toEqual([1, 2, 3, 4, 5]);
  });

  test.each([
    [24_000, 48_000],
    [24_000, 44_100],
    [48_000, 24_000],
  ])('keeps a tone of 440 Hz from %i to %i Hz', (fromHz, toHz) => {
    const tone = (hz: number) => (_: unknown, index: number) =>
      0.8 * Math.sin((2 * Math.PI * 440 * index) / hz);
    const queue = new SampleQueue();
    queue.push(Float32Array.from({ length: fromHz / 10 + 8 }, tone(fromHz)));
    const resampler = new Resampler(queue, fromHz / toHz);
    const read = Array.from({ length: toHz / 10 }, () => resampler.read());
    const wanted = Array.from({ length: toHz / 10 }, tone(toHz));
    // The first sample has no neighbour before it.
    const errors = read.map((sample, index) => Math.abs(sample - (wanted[index] ?? 0))).slice(4);
    expect(Math.max(...errors)).toBeLessThan(0.001);
  });
});

describe('playout', () => {
  function begun(prebufferMs = 0): Playout {
    const playout = new Playout(RATE_HZ);
    playout.handle({ kind: 'begin', track: { id: 1, sampleRateHz: RATE_HZ, prebufferMs } });
    return playout;
  }

  function rendered(playout: Playout, length = QUANTUM): Float32Array {
    const output = new Float32Array(length);
    playout.render(output);
    return output;
  }

  function push(playout: Playout, samples: Int16Array): void {
    playout.handle({ kind: 'samples', samples });
  }

  test('is silent before it begins', () => {
    const playout = new Playout(RATE_HZ);
    push(playout, ramp(1, 10));
    expect(rendered(playout).every((sample) => sample === 0)).toBe(true);
    expect(playout.phase).toBe('idle');
  });

  test('plays every sample once, in blocks of any size', () => {
    const playout = begun();
    let first = 1;
    for (const size of [1, 7, 300, 128, 64]) {
      push(playout, ramp(first, size));
      first += size;
    }
    playout.handle({ kind: 'end' });
    expect(placesIn(rendered(playout, 500))).toEqual([...ramp(1, 500)]);
    rendered(playout, 1);
    expect(playout.report(0)).toMatchObject({ phase: 'ended', playedSamples: 500 });
  });

  test('waits until enough is there', () => {
    const playout = begun(10); // 240 samples
    push(playout, ramp(1, 239));
    rendered(playout);
    expect(playout.report(0)).toMatchObject({ phase: 'buffering', playedSamples: 0 });
    push(playout, ramp(240, 1));
    expect(placesIn(rendered(playout))[0]).toBe(1);
    expect(playout.phase).toBe('playing');
  });

  test('waits for no more than there is', () => {
    const playout = begun(1_000);
    push(playout, ramp(1, 5));
    playout.handle({ kind: 'end' });
    expect(placesIn(rendered(playout)).slice(0, 5)).toEqual([1, 2, 3, 4, 5]);
    expect(playout.report(0)).toMatchObject({ phase: 'ended', underrunCount: 0 });
  });

  test('counts an underrun when sound goes on after silence, and only then', () => {
    const playout = begun(10);
    push(playout, ramp(1, 240));
    rendered(playout, 384);
    expect(playout.report(0)).toMatchObject({ phase: 'buffering', underrunCount: 0 });
    push(playout, ramp(1, 100));
    rendered(playout);
    expect(playout.phase).toBe('buffering'); // until as much is there as at first
    push(playout, ramp(1, 200));
    rendered(playout);
    expect(playout.report(0)).toMatchObject({ phase: 'playing', underrunCount: 1 });
    rendered(playout, 512);
    playout.handle({ kind: 'end' });
    rendered(playout);
    expect(playout.report(0)).toMatchObject({ phase: 'ended', underrunCount: 1 });
  });

  test('leaves no step where it falls silent or comes back', () => {
    const playout = begun();
    const loud = new Int16Array(1_000).fill(16_384);
    push(playout, loud);
    const heard: number[] = [];
    heard.push(...rendered(playout, 200));
    playout.handle({ kind: 'pause' });
    heard.push(...rendered(playout, 400));
    expect(playout.report(0).playedSamples).toBe(200);
    playout.handle({ kind: 'resume' });
    heard.push(...rendered(playout, 1_500));
    const steps = heard.slice(1).map((sample, index) => Math.abs(sample - (heard[index] ?? 0)));
    expect(Math.max(...steps)).toBeLessThan(0.03); // of a step of 0.5
    expect(playout.report(0).playedSamples).toBe(1_000);
  });

  test('drops what is left when it is stopped, and what comes too late', () => {
    const playout = begun();
    push(playout, ramp(1, 1_000));
    rendered(playout);
    playout.handle({ kind: 'stop' });
    push(playout, ramp(1, 1_000));
    rendered(playout, 4_800);
    expect(playout.report(0)).toMatchObject({ phase: 'idle', queuedSamples: 0 });
    expect(Math.abs(rendered(playout)[0] ?? 1)).toBeLessThan(1e-6);
  });

  test('begins anew with a track of another rate', () => {
    const playout = begun();
    push(playout, ramp(1, 1_000));
    rendered(playout);
    playout.handle({ kind: 'begin', track: { id: 2, sampleRateHz: 12_000, prebufferMs: 0 } });
    push(playout, new Int16Array(100).fill(8_192));
    playout.handle({ kind: 'end' });
    rendered(playout, 190); // twice as many as there are, but for the last neighbours
    expect(playout.report(0)).toMatchObject({ trackId: 2, phase: 'playing', underrunCount: 0 });
    rendered(playout, 20);
    expect(playout.report(0)).toMatchObject({ phase: 'ended', playedSamples: 100 });
  });
});
