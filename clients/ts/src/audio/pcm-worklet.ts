/**
 * The audio thread's half of the player. The browser loads this file by itself, so it imports
 * nothing but types.
 */

/** Whether sound is waited for, heard, held, or over. */
export type PlaybackPhase = 'idle' | 'buffering' | 'playing' | 'paused' | 'ended';

/** One stretch of sound from its beginning to its end. */
export interface Track {
  /** Tells this track from those before it. */
  readonly id: number;
  readonly sampleRateHz: number;
  /** How much must be there before it starts, and starts again after an underrun. */
  readonly prebufferMs: number;
}

/** What the page tells the audio thread. */
export type PlayerCommand =
  | { readonly kind: 'begin'; readonly track: Track }
  | { readonly kind: 'samples'; readonly samples: Int16Array | Float32Array }
  | { readonly kind: 'end' }
  | { readonly kind: 'pause' }
  | { readonly kind: 'resume' }
  | { readonly kind: 'stop' }
  | { readonly kind: 'close' };

/** What the audio thread tells the page. Counts are samples of the track. */
export interface PlayerReport {
  readonly trackId: number;
  readonly phase: PlaybackPhase;
  readonly playedSamples: number;
  readonly queuedSamples: number;
  readonly underrunCount: number;
  /** The audio context's clock when `playedSamples` had been played. */
  readonly atS: number;
}

const FULL_SCALE = 32_768;
const TAIL_S = 0.001; // the time in which what is cut off falls to a third
const FADE_IN_SAMPLES = 128;

/** Blocks of samples that wait to be played. */
export class SampleQueue {
  #blocks: (Int16Array | Float32Array)[] = [];
  #offset = 0; // in the first block
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(samples: Int16Array | Float32Array): void {
    if (samples.length === 0) return;
    this.#blocks.push(samples);
    this.#length += samples.length;
  }

  /** The next sample, from -1 to 1; 0 when there is none. */
  shift(): number {
    const [block] = this.#blocks;
    if (block === undefined) return 0;
    const sample = block[this.#offset] ?? 0;
    this.#offset += 1;
    this.#length -= 1;
    if (this.#offset === block.length) {
      this.#blocks.shift();
      this.#offset = 0;
    }
    return block instanceof Int16Array ? sample / FULL_SCALE : sample;
  }

  clear(): void {
    this.#blocks = [];
    this.#offset = 0;
    this.#length = 0;
  }
}

/** A queue read at another rate: a cubic through four neighbours; at the same rate, exact. */
export class Resampler {
  readonly #queue: SampleQueue;
  readonly #step: number;
  #phase = 3; // three samples are in place before the first is read between them
  #before = 0;
  #here = 0;
  #next = 0;
  #afterNext = 0;

  /** `step`: samples of the queue for each one that is read. */
  constructor(queue: SampleQueue, step: number) {
    this.#queue = queue;
    this.#step = step;
  }

  read(): number {
    if (this.#step === 1) return this.#queue.shift();
    while (this.#phase >= 1) {
      this.#phase -= 1;
      this.#before = this.#here;
      this.#here = this.#next;
      this.#next = this.#afterNext;
      this.#afterNext = this.#queue.shift();
    }
    const sample = this.#between(this.#phase);
    this.#phase += this.#step;
    return sample;
  }

  /** Catmull-Rom: through `here` at 0 and `next` at 1, as steep there as their neighbours say. */
  #between(t: number): number {
    const [a, b, c, d] = [this.#before, this.#here, this.#next, this.#afterNext];
    const square = 2 * a - 5 * b + 4 * c - d;
    const cube = 3 * (b - c) + d - a;
    return b + 0.5 * t * (c - a + t * (square + t * cube));
  }
}

/** Plays one track after another: starts when enough is there, waits when it runs dry. */
export class Playout {
  readonly #contextRateHz: number;
  readonly #tailDecay: number;
  readonly #queue = new SampleQueue();
  #resampler = new Resampler(this.#queue, 1);
  #track: Track = { id: 0, sampleRateHz: 0, prebufferMs: 0 };
  #phase: PlaybackPhase = 'idle';
  #pushedSamples = 0;
  #underrunCount = 0;
  #isComplete = false;
  #hasRunDry = false;
  #gain = 1;
  #last = 0;

  constructor(contextRateHz: number) {
    this.#contextRateHz = contextRateHz;
    this.#tailDecay = Math.exp(-1 / (TAIL_S * contextRateHz));
  }

  get phase(): PlaybackPhase {
    return this.#phase;
  }

  handle(command: PlayerCommand): void {
    switch (command.kind) {
      case 'begin':
        this.#begin(command.track);
        break;
      case 'samples':
        this.#push(command.samples);
        break;
      case 'end':
        this.#complete();
        break;
      case 'pause':
        if (this.#isUnderWay()) this.#phase = 'paused';
        break;
      case 'resume':
        this.#resume();
        break;
      case 'stop':
      case 'close':
        this.#queue.clear();
        this.#phase = 'idle';
        break;
    }
  }

  /** Fills `output` with what comes next; with silence when nothing does. */
  render(output: Float32Array): void {
    for (let index = 0; index < output.length; index += 1) output[index] = this.#sample();
  }

  report(atS: number): PlayerReport {
    return {
      trackId: this.#track.id,
      phase: this.#phase,
      playedSamples: this.#pushedSamples - this.#queue.length,
      queuedSamples: this.#queue.length,
      underrunCount: this.#underrunCount,
      atS,
    };
  }

  #begin(track: Track): void {
    this.#queue.clear();
    this.#resampler = new Resampler(this.#queue, track.sampleRateHz / this.#contextRateHz);
    this.#track = track;
    this.#phase = 'buffering';
    this.#pushedSamples = 0;
    this.#underrunCount = 0;
    this.#isComplete = false;
    this.#hasRunDry = false;
    this.#gain = 1;
  }

  #push(samples: Int16Array | Float32Array): void {
    if (this.#phase === 'idle' || this.#phase === 'ended') return; // sent before it heard of that
    this.#queue.push(samples);
    this.#pushedSamples += samples.length;
    this.#startWhenReady();
  }

  #complete(): void {
    this.#isComplete = true;
    this.#startWhenReady();
  }

  #resume(): void {
    if (this.#phase !== 'paused') return;
    this.#phase = 'buffering';
    this.#gain = 0;
    this.#startWhenReady();
  }

  #startWhenReady(): void {
    if (this.#phase !== 'buffering') return;
    const enough = (this.#track.prebufferMs / 1_000) * this.#track.sampleRateHz;
    if (this.#queue.length >= enough && this.#queue.length > 0) this.#start();
    else if (this.#isComplete && this.#queue.length > 0) this.#start();
    else if (this.#isComplete) this.#phase = 'ended';
  }

  #start(): void {
    // Counted now, as silence at the end of a track is none.
    if (this.#hasRunDry) {
      this.#underrunCount += 1;
      this.#gain = 0;
    }
    this.#hasRunDry = false;
    this.#phase = 'playing';
  }

  #sample(): number {
    if (this.#phase === 'playing' && this.#queue.length === 0) this.#runDry();
    if (this.#phase !== 'playing') {
      this.#last *= this.#tailDecay; // a sudden stop would click
      return this.#last;
    }
    this.#last = this.#gain * this.#resampler.read();
    this.#gain = Math.min(1, this.#gain + 1 / FADE_IN_SAMPLES);
    return this.#last;
  }

  #runDry(): void {
    this.#hasRunDry = !this.#isComplete;
    this.#phase = this.#isComplete ? 'ended' : 'buffering';
  }

  #isUnderWay(): boolean {
    return this.#phase === 'buffering' || this.#phase === 'playing';
  }
}

// The audio thread's globals, of which TypeScript's DOM library knows nothing.
declare const sampleRate: number;
declare const currentFrame: number;
declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(name: string, processor: new () => AudioWorkletProcessor): void;

const QUANTA_PER_REPORT = 4;

if (typeof registerProcessor === 'function') {
  registerProcessor(
    'chatterbox-pcm',
    class extends AudioWorkletProcessor {
      readonly #playout = new Playout(sampleRate);
      #reportedPhase: PlaybackPhase = 'idle';
      #quanta = 0;
      #isOpen = true;

      constructor() {
        super();
        this.port.onmessage = ({ data }: MessageEvent<PlayerCommand>): void => {
          this.#playout.handle(data);
          if (data.kind === 'close') this.#isOpen = false;
        };
      }

      process(_inputs: unknown, [output]: Float32Array[][]): boolean {
        const [channel] = output ?? [];
        if (channel !== undefined) this.#play(channel);
        return this.#isOpen;
      }

      #play(channel: Float32Array): void {
        this.#playout.render(channel);
        this.#quanta += 1;
        const { phase } = this.#playout;
        const isDue = phase === 'playing' && this.#quanta % QUANTA_PER_REPORT === 0;
        if (!isDue && phase === this.#reportedPhase) return;
        this.#reportedPhase = phase;
        this.port.postMessage(this.#playout.report((currentFrame + channel.length) / sampleRate));
      }
    },
  );
}
