/** Plays samples as they come, without gaps. */

import { Deferred } from '../deferred.js';
import type { Pcm, Samples } from '../pcm.js';
import type { PlaybackPhase, PlayerCommand, PlayerReport } from './pcm-worklet.js';

export interface PcmPlayerOptions {
  /** Rate the audio context is asked for. Default: 24,000, that of the models. */
  readonly sampleRateHz?: number | undefined;
  /** An audio context to play in. Default: one of the player's own. */
  readonly context?: AudioContext | undefined;
  /** How much sound must be there before playback starts, and after an underrun. Default: 120. */
  readonly prebufferMs?: number | undefined;
  /** How much unplayed sound is held before a stream is read no further. Default: 10 minutes. */
  readonly maxQueuedMs?: number | undefined;
  /** Where the worklet's file is, if a bundler cannot tell. */
  readonly workletUrl?: string | URL | undefined;
}

/** A snapshot; a new object whenever something in it changes. */
export interface PlaybackState {
  readonly phase: PlaybackPhase;
  /** How often the listener was kept waiting in the middle of this track. */
  readonly underrunCount: number;
  /** The browser holds sound back until `resume` is called in a click handler. */
  readonly isSuspended: boolean;
}

/** Sound that is still coming, such as a `Speech`. */
export interface PcmStream extends AsyncIterable<Samples> {
  readonly format: Promise<{ readonly sampleRateHz: number }>;
}

export interface PlayOptions {
  /** Stops playback, and ends the stream that is played. */
  readonly signal?: AbortSignal | undefined;
  /** Where to begin, in sound that is there as a whole. Default: 0. */
  readonly startMs?: number | undefined;
  /** Sees each block as it comes, for waveforms and for keeping it. */
  readonly onBlock?: ((samples: Samples) => void) | undefined;
}

/** How playback came to its end: it was heard to the end, or something else took its place. */
export type PlaybackOutcome = 'ended' | 'stopped';

const DEFAULT_RATE_HZ = 24_000;
const DEFAULT_PREBUFFER_MS = 120;
const DEFAULT_MAX_QUEUED_MS = 600_000; // as 16-bit samples 29 MB
const VOLUME_GLIDE_S = 0.015; // shorter clicks

interface Track {
  readonly id: number;
  readonly startMs: number;
  readonly over: Deferred<PlaybackOutcome>;
  sampleRateHz: number; // 0 until the format is known
  writtenSamples: number;
}

const SILENCE: PlayerReport = {
  trackId: 0,
  phase: 'idle',
  playedSamples: 0,
  queuedSamples: 0,
  underrunCount: 0,
  atS: 0,
};

/**
 * Plays one track at a time; a new one takes the place of the last. Make it in a click handler:
 * browsers let no page make noise before.
 */
export class PcmPlayer {
  readonly context: AudioContext;
  /** Hears what is played, before the volume: for waveforms and level meters. */
  readonly analyser: AnalyserNode;
  /** Called when a track has been heard to its end. */
  onEnded: (() => void) | undefined;

  readonly #node: AudioWorkletNode;
  readonly #gain: GainNode;
  readonly #ownsContext: boolean;
  readonly #prebufferMs: number;
  readonly #maxQueuedMs: number;
  readonly #listeners = new Set<() => void>();
  readonly #whenContextChanges = (): void => this.#show({});
  #track: Track | undefined;
  #trackCount = 0;
  #report = SILENCE;
  #state: PlaybackState;
  #room: Deferred<void> | undefined;
  #volume = 1;

  /** Loads the worklet. Fails with a DOMException where the page's security policy forbids it. */
  static async create(options: PcmPlayerOptions = {}): Promise<PcmPlayer> {
    const context = options.context ?? openContext(options.sampleRateHz ?? DEFAULT_RATE_HZ);
    // No-inline: Vite would make a data: URL of so small a file, which strict policies forbid.
    const url = options.workletUrl ?? new URL('./pcm-worklet.js?no-inline', import.meta.url);
    try {
      await context.audioWorklet.addModule(url);
      return new PcmPlayer(context, options);
    } catch (reason) {
      if (options.context === undefined) await context.close();
      throw reason;
    }
  }

  private constructor(context: AudioContext, options: PcmPlayerOptions) {
    this.context = context;
    this.#ownsContext = options.context === undefined;
    this.#prebufferMs = options.prebufferMs ?? DEFAULT_PREBUFFER_MS;
    this.#maxQueuedMs = options.maxQueuedMs ?? DEFAULT_MAX_QUEUED_MS;
    this.#state = { phase: 'idle', underrunCount: 0, isSuspended: context.state !== 'running' };
    this.#node = new AudioWorkletNode(context, 'chatterbox-pcm', {
      numberOfInputs: 0,
      outputChannelCount: [1],
    });
    this.#node.port.onmessage = ({ data }: MessageEvent<PlayerReport>): void => this.#hear(data);
    this.analyser = context.createAnalyser();
    this.#gain = context.createGain();
    this.#node.connect(this.analyser).connect(this.#gain).connect(context.destination);
    context.addEventListener('statechange', this.#whenContextChanges);
  }

  /** A new object only when something in it has changed, as `useSyncExternalStore` wants it. */
  get state(): PlaybackState {
    return this.#state;
  }

  /** Calls `listener` after each change of `state`; what it returns ends that. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** How much of the track has come out of the speaker: the clock for words and waveforms. */
  get positionMs(): number {
    const track = this.#track;
    if (track === undefined) return 0;
    const { trackId, phase, playedSamples, queuedSamples, atS } = this.#report;
    if (trackId !== track.id) return track.startMs;
    let samples = playedSamples;
    if (phase === 'playing') {
      const sinceS = this.context.currentTime - atS - (this.context.outputLatency || 0);
      samples += Math.min(sinceS * track.sampleRateHz, queuedSamples);
    }
    return track.startMs + (Math.max(0, samples) / track.sampleRateHz) * 1_000;
  }

  /** How much sound has come in and was not yet played. */
  get queuedMs(): number {
    const track = this.#track;
    if (track === undefined || track.sampleRateHz === 0) return 0;
    const played = this.#report.trackId === track.id ? this.#report.playedSamples : 0;
    return ((track.writtenSamples - played) / track.sampleRateHz) * 1_000;
  }

  /** 0 is silent, 1 as it comes. */
  get volume(): number {
    return this.#volume;
  }

  set volume(value: number) {
    this.#volume = Math.max(0, value);
    this.#gain.gain.setTargetAtTime(this.#volume, this.context.currentTime, VOLUME_GLIDE_S);
  }

  /**
   * Plays a stream or a whole sound, and tells how that ended. A stream that fails is heard as far
   * as it came, and its error thrown at once; one that is stopped is ended on the server, too.
   */
  async play(source: PcmStream | Pcm, options: PlayOptions = {}): Promise<PlaybackOutcome> {
    const track = this.#open('samples' in source ? (options.startMs ?? 0) : 0);
    const stop = (): void => {
      if (this.#track === track) this.stop();
    };
    options.signal?.addEventListener('abort', stop);
    if (options.signal?.aborted) stop();
    try {
      if ('samples' in source) this.#playWhole(track, source);
      else await this.#playStream(track, source, options.onBlock);
      return await track.over.promise;
    } finally {
      options.signal?.removeEventListener('abort', stop);
    }
  }

  pause(): void {
    this.#send({ kind: 'pause' });
  }

  /** Goes on after `pause`, and where the browser holds sound back. */
  async resume(): Promise<void> {
    this.#send({ kind: 'resume' });
    await this.context.resume();
  }

  /** Falls silent at once and drops what was not heard. */
  stop(): void {
    this.#send({ kind: 'stop' });
    this.#leave();
    this.#show({ phase: 'idle' });
  }

  /** Gives the sound card back. The player cannot be used afterwards. */
  async close(): Promise<void> {
    this.stop();
    this.#send({ kind: 'close' });
    this.context.removeEventListener('statechange', this.#whenContextChanges);
    this.#node.disconnect();
    this.analyser.disconnect();
    this.#gain.disconnect();
    if (this.#ownsContext) await this.context.close();
  }

  #playWhole(track: Track, { samples, sampleRateHz }: Pcm): void {
    this.#start(track, sampleRateHz);
    this.#write(track, samples.subarray(Math.round((track.startMs / 1_000) * sampleRateHz)));
    this.#end(track);
  }

  async #playStream(
    track: Track,
    source: PcmStream,
    onBlock: PlayOptions['onBlock'],
  ): Promise<void> {
    const blocks = source[Symbol.asyncIterator]();
    const leave = async (): Promise<void> => {
      await blocks.return?.();
    };
    // Ends the stream even while it waits for its next block; that it fails then is no news.
    void track.over.promise.then(leave).catch(() => undefined);
    try {
      this.#start(track, (await source.format).sampleRateHz);
      for (;;) {
        const { done, value } = await blocks.next();
        if (done || this.#track !== track) break;
        onBlock?.(value);
        this.#write(track, value);
        await this.#roomIn(track);
      }
      this.#end(track);
    } catch (reason) {
      if (this.#track !== track) return; // it fails because it was stopped
      if (track.sampleRateHz === 0) this.stop();
      else this.#end(track);
      throw reason;
    }
  }

  #open(startMs: number): Track {
    this.#leave();
    this.#trackCount += 1;
    const over = new Deferred<PlaybackOutcome>();
    const track = { id: this.#trackCount, startMs, over, sampleRateHz: 0, writtenSamples: 0 };
    this.#track = track;
    this.#show({ phase: 'buffering', underrunCount: 0 });
    void this.context.resume();
    return track;
  }

  #start(track: Track, sampleRateHz: number): void {
    if (this.#track !== track) return;
    track.sampleRateHz = sampleRateHz;
    const prebufferMs = this.#prebufferMs;
    this.#send({ kind: 'begin', track: { id: track.id, sampleRateHz, prebufferMs } });
  }

  #write(track: Track, samples: Samples): void {
    if (this.#track !== track) return;
    track.writtenSamples += samples.length;
    const copy = samples.slice(); // the caller keeps its own
    this.#send({ kind: 'samples', samples: copy }, [copy.buffer]);
  }

  #end(track: Track): void {
    if (this.#track === track) this.#send({ kind: 'end' });
  }

  async #roomIn(track: Track): Promise<void> {
    while (this.#track === track && this.queuedMs > this.#maxQueuedMs) {
      this.#room ??= new Deferred();
      await this.#room.promise;
    }
  }

  #leave(): void {
    const track = this.#track;
    this.#track = undefined;
    this.#report = SILENCE;
    this.#makeRoom();
    track?.over.resolve('stopped');
  }

  #send(command: PlayerCommand, transfer: Transferable[] = []): void {
    this.#node.port.postMessage(command, transfer);
  }

  #hear(report: PlayerReport): void {
    const track = this.#track;
    if (report.trackId !== track?.id) return; // of one that is gone
    const hasEnded = report.phase === 'ended' && this.#report.phase !== 'ended';
    this.#report = report;
    this.#makeRoom();
    this.#show({ phase: report.phase, underrunCount: report.underrunCount });
    if (!hasEnded) return;
    track.over.resolve('ended');
    this.onEnded?.();
  }

  #makeRoom(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }

  #show(change: Partial<PlaybackState>): void {
    const isSuspended = this.context.state !== 'running';
    const state = { ...this.#state, isSuspended, ...change };
    const { phase, underrunCount } = this.#state;
    if (
      state.phase === phase &&
      state.underrunCount === underrunCount &&
      state.isSuspended === this.#state.isSuspended
    ) {
      return;
    }
    this.#state = state;
    for (const listener of this.#listeners) listener();
  }
}

function openContext(sampleRate: number): AudioContext {
  try {
    return new AudioContext({ sampleRate, latencyHint: 'interactive' });
  } catch {
    return new AudioContext({ latencyHint: 'interactive' }); // the worklet resamples
  }
}
