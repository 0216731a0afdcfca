/** Records a person. */

import { Deferred } from '../deferred.js';
import type { Pcm } from '../pcm.js';
import { microphoneError, microphoneErrorOf } from './microphone-error.js';

/** How loud a moment is, each from 0 to 1 for full scale. */
export interface SoundLevel {
  /** Root of the mean square: how loud it seems. */
  readonly rms: number;
  /** The largest sample: 1 is clipped. */
  readonly peak: number;
}

export interface MicrophoneOptions {
  /** Which one, as `enumerateDevices` names it. Default: the browser's choice. */
  readonly deviceId?: string | undefined;
  /** Called about fifty times a second from the moment it is open. */
  readonly onLevel?: ((level: SoundLevel) => void) | undefined;
  /** Where the worklet's file is, if a bundler cannot tell. */
  readonly workletUrl?: string | URL | undefined;
}

export interface RecordOptions {
  /** After which recording stops by itself. Default: 30,000. */
  readonly maxMs?: number | undefined;
  /** Called with how much is recorded. */
  readonly onProgress?: ((recordedMs: number) => void) | undefined;
  /** Drops the recording, which then fails with an AbortError. */
  readonly signal?: AbortSignal | undefined;
}

/** Mono sound from -1 to 1, at the microphone's own rate. */
export type Recording = Pcm<Float32Array<ArrayBuffer>>;

const DEFAULT_MAX_MS = 30_000;

interface Take {
  readonly samples: Float32Array<ArrayBuffer>;
  readonly onProgress: RecordOptions['onProgress'];
  readonly done: Deferred<Recording>;
  filled: number;
}

/** An open microphone: shows its level at once, records when told. */
export class Microphone {
  readonly #stream: MediaStream;
  readonly #context: AudioContext;
  readonly #node: AudioWorkletNode;
  readonly #onLevel: MicrophoneOptions['onLevel'];
  #take: Take | undefined;

  /** Asks the person for the microphone; fails with a `MicrophoneError`. */
  static async open(options: MicrophoneOptions = {}): Promise<Microphone> {
    if (globalThis.navigator?.mediaDevices === undefined) throw microphoneError('insecure');
    let stream: MediaStream | undefined;
    let context: AudioContext | undefined;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: constraints(options.deviceId) });
      // At its own rate: not every browser resamples a microphone.
      context = new AudioContext();
      const url = options.workletUrl ?? new URL('./capture-worklet.js?no-inline', import.meta.url);
      await context.audioWorklet.addModule(url);
      await context.resume();
      return new Microphone(stream, context, options.onLevel);
    } catch (reason) {
      stopTracks(stream);
      await context?.close();
      throw microphoneErrorOf(reason);
    }
  }

  private constructor(
    stream: MediaStream,
    context: AudioContext,
    onLevel: MicrophoneOptions['onLevel'],
  ) {
    this.#stream = stream;
    this.#context = context;
    this.#onLevel = onLevel;
    this.#node = new AudioWorkletNode(context, 'chatterbox-capture', { numberOfOutputs: 0 });
    this.#node.port.onmessage = ({ data }: MessageEvent<Float32Array>): void => this.#hear(data);
    context.createMediaStreamSource(stream).connect(this.#node);
  }

  get sampleRateHz(): number {
    return this.#context.sampleRate;
  }

  get isRecording(): boolean {
    return this.#take !== undefined;
  }

  /** Records until `stop`, or for `maxMs`. */
  async record(options: RecordOptions = {}): Promise<Recording> {
    if (this.#take !== undefined) throw new TypeError('this microphone is recording already');
    options.signal?.throwIfAborted();
    const length = Math.ceil(((options.maxMs ?? DEFAULT_MAX_MS) / 1_000) * this.sampleRateHz);
    const take: Take = {
      samples: new Float32Array(length),
      onProgress: options.onProgress,
      done: new Deferred<Recording>(),
      filled: 0,
    };
    this.#take = take;
    const drop = (): void => this.#drop(take, options.signal?.reason);
    options.signal?.addEventListener('abort', drop);
    try {
      return await take.done.promise;
    } finally {
      options.signal?.removeEventListener('abort', drop);
    }
  }

  /** Ends the recording; what `record` returned settles with what there is. */
  stop(): void {
    const take = this.#take;
    if (take === undefined) return;
    this.#take = undefined;
    const samples = take.samples.slice(0, take.filled);
    take.done.resolve({ samples, sampleRateHz: this.sampleRateHz });
  }

  /** Gives the microphone back; a recording under way is dropped. */
  async close(): Promise<void> {
    const reason = new DOMException('the microphone was closed', 'AbortError');
    if (this.#take !== undefined) this.#drop(this.#take, reason);
    this.#node.port.postMessage('close');
    stopTracks(this.#stream);
    await this.#context.close();
  }

  #hear(block: Float32Array): void {
    this.#onLevel?.(levelOf(block));
    const take = this.#take;
    if (take === undefined) return;
    const room = take.samples.length - take.filled;
    take.samples.set(block.subarray(0, room), take.filled);
    take.filled += Math.min(block.length, room);
    take.onProgress?.((take.filled / this.sampleRateHz) * 1_000);
    if (take.filled === take.samples.length) this.stop();
  }

  #drop(take: Take, reason: unknown): void {
    if (this.#take === take) this.#take = undefined;
    take.done.reject(reason);
  }
}

/** How loud a block is. */
export function levelOf(block: Float32Array): SoundLevel {
  let sum = 0;
  let peak = 0;
  for (const sample of block) {
    sum += sample * sample;
    peak = Math.max(peak, Math.abs(sample));
  }
  return { rms: block.length === 0 ? 0 : Math.sqrt(sum / block.length), peak };
}

/** What a voice is cloned from should not be processed for calls. */
function constraints(deviceId: string | undefined): MediaTrackConstraints {
  return {
    channelCount: 1,
    echoCancellation: false,
    noiseSuppression: false,
    autoGainControl: false,
    ...(deviceId === undefined ? {} : { deviceId: { exact: deviceId } }),
  };
}

function stopTracks(stream: MediaStream | undefined): void {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
