/** A stream of sound, from its call to its summary. */

import { Code, ConnectError } from '@connectrpc/connect';
import { Deferred } from './deferred.js';
import { callErrorOf, failure } from './errors.js';
import { joinSamples, type Pcm } from './pcm.js';
import { encodeWav } from './wav.js';

/** The form of the samples: mono, 16 bits. */
export interface PcmFormat {
  readonly sampleRateHz: number;
  readonly channels: 1;
}

/** The next stretch of sound; it follows the one before without gap or overlap. */
export interface SoundBlock {
  readonly samples: Int16Array<ArrayBuffer>;
  /** When it begins, on the clock of the stream's audio. */
  readonly offsetMs: number;
  /** Which utterance it belongs to, from 0. Long text is spoken as several. */
  readonly segmentIndex: number;
}

/** Something was ignored or altered, and the stream goes on. */
export interface SoundWarning {
  /** In UPPER_SNAKE case; does not change between versions. */
  readonly code: string;
  /** The same for people, in English. */
  readonly message: string;
}

/** What comes in a stream: `started` first, `summary` last, `Own` where a kind of stream has more. */
export type SoundEvent<Summary, Own> =
  | ({ readonly kind: 'started' } & SoundStarted)
  | ({ readonly kind: 'audio' } & SoundBlock)
  | ({ readonly kind: 'warning' } & SoundWarning)
  | ({ readonly kind: 'summary' } & Summary)
  | Own;

/** How long this side waited, from the call on; absent until it has happened. */
export interface SoundTimings {
  readonly startedMs?: number;
  readonly firstAudioMs?: number;
  readonly finishedMs?: number;
}

/** A whole stream. */
export interface CollectedSound<Summary> extends Pcm<Int16Array<ArrayBuffer>> {
  readonly started: SoundStarted;
  readonly summary: Summary;
  readonly warnings: readonly SoundWarning[];
  readonly words: readonly WordTiming[];
}

/**
 * The call behind a stream, as events. It ends when the signal is aborted, as does what it sends,
 * whose own error `fail` is told.
 */
export type OpenStream<Event> = (
  signal: AbortSignal,
  fail: (reason: unknown) => void,
) => AsyncIterable<Event>;

/** The settings in force. */
export interface SoundStarted {
  readonly requestId: string;
  /** Name of the model, `models/tiny`. */
  readonly model: string;
  /** Name of the voice, `voices/ada`; empty if it is a recording that was sent along. */
  readonly voice: string;
  readonly sampleRateHz: number;
  /** Send it to get the same audio again. */
  readonly seed: bigint;
  /** The audio carries an inaudible watermark. */
  readonly isWatermarked: boolean;
}

/** When one word is said, on the clock of the stream's audio. */
export interface WordTiming {
  /** As it was written, with the marks at it. */
  readonly word: string;
  readonly startMs: number;
  readonly endMs: number;
  /** The utterance it belongs to, as in `audio`. */
  readonly segmentIndex: number;
}

/** Events that a stream may have beside those of all. */
export type OwnEvent =
  | { readonly kind: 'words'; readonly words: readonly WordTiming[] }
  | { readonly kind: 'flushed' | 'interrupted' };

/**
 * Sound that is still being computed. It is read once: as blocks of samples (`for await`), as
 * events, or all together. The call begins at once; leaving the loop, or the caller's
 * `AbortSignal`, ends it on the server.
 *
 * Everything here fails with a `ChatterboxError`. The promises may be left alone: one that nobody
 * awaits fails unseen.
 */
export class SoundStream<Summary, Own extends OwnEvent = never>
  implements AsyncIterable<Int16Array<ArrayBuffer>>
{
  readonly #calledAt = performance.now();
  readonly #call = new AbortController();
  readonly #started = new Deferred<SoundStarted>();
  readonly #format = new Deferred<PcmFormat>();
  readonly #summary = new Deferred<Summary>();
  readonly #warnings: SoundWarning[] = [];
  readonly #words: WordTiming[] = [];
  readonly #events: AsyncGenerator<SoundEvent<Summary, Own>, void>;
  readonly #first: Promise<IteratorResult<SoundEvent<Summary, Own>, void>>;
  #sourceError: { readonly reason: unknown } | undefined;
  #timings: SoundTimings = {};
  #isRead = false;

  /** @internal Made by the client's methods. */
  constructor(open: OpenStream<SoundEvent<Summary, Own>>, signal: AbortSignal | undefined) {
    this.#events = this.#read(open, signal);
    this.#first = this.#events.next();
    this.#first.catch(() => undefined);
  }

  /** The settings in force, told before any audio is computed. */
  get started(): Promise<SoundStarted> {
    return this.#started.promise;
  }

  /** What the blocks hold. */
  get format(): Promise<PcmFormat> {
    return this.#format.promise;
  }

  /** What it amounted to; settles once the stream has been read to its end or given up. */
  get summary(): Promise<Summary> {
    return this.#summary.promise;
  }

  /** The warnings so far. */
  get warnings(): readonly SoundWarning[] {
    return this.#warnings;
  }

  /** When the words so far are said, if the request asked for that. */
  get words(): readonly WordTiming[] {
    return this.#words;
  }

  /** How long this side waited for what has come so far. */
  get timings(): SoundTimings {
    return this.#timings;
  }

  /** Everything the server says, in order. */
  events(): AsyncIterableIterator<SoundEvent<Summary, Own>, void> {
    if (this.#isRead) throw new TypeError('a stream can be read only once');
    this.#isRead = true;
    let isFirst = true;
    return {
      next: () => {
        const next = isFirst ? this.#first : this.#events.next();
        isFirst = false;
        return next;
      },
      return: async () => {
        this.#call.abort(); // before the generator is asked, which may be waiting for the server
        await this.#events.return();
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  /** The samples, block by block as they come. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Int16Array<ArrayBuffer>, void> {
    const events = this.events();
    return {
      next: async () => {
        for (;;) {
          const { done, value } = await events.next();
          if (done) return { done, value: undefined };
          if (value.kind === 'audio') return { done: false, value: value.samples };
        }
      },
      return: async () => {
        await events.return?.();
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  /** All of it, once it is complete. */
  async collect(): Promise<CollectedSound<Summary>> {
    const blocks: Int16Array[] = [];
    for await (const block of this) blocks.push(block);
    const [started, summary] = await Promise.all([this.started, this.summary]);
    const { sampleRateHz } = started;
    return {
      samples: joinSamples(blocks),
      sampleRateHz,
      started,
      summary,
      warnings: this.warnings,
      words: this.words,
    };
  }

  /** A WAV file of all of it. */
  async toWav(): Promise<Uint8Array<ArrayBuffer>> {
    return encodeWav(await this.collect());
  }

  async *#read(
    open: OpenStream<SoundEvent<Summary, Own>>,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<SoundEvent<Summary, Own>, void> {
    const cancel = (): void => {
      this.#call.abort(signal?.reason);
      this.#fail(callErrorOf(cancellation(this.#call.signal), signal));
    };
    const fail = (reason: unknown): void => {
      this.#sourceError = { reason };
      this.#call.abort();
    };
    signal?.addEventListener('abort', cancel);
    if (signal?.aborted) cancel();
    try {
      for await (const event of open(this.#call.signal, fail)) {
        // What had arrived by then is nobody's wish any more.
        if (this.#call.signal.aborted) throw cancellation(this.#call.signal);
        this.#note(event);
        yield event;
      }
      this.#fail(failure({ kind: 'internal' }, 'the stream ended before its summary'));
      await this.summary;
    } catch (reason) {
      throw this.#fail(this.#sourceError?.reason ?? callErrorOf(reason, this.#call.signal));
    } finally {
      signal?.removeEventListener('abort', cancel);
      this.#call.abort();
      this.#fail(failure({ kind: 'cancelled' }, 'the stream was not read to its end'));
    }
  }

  #note(event: SoundEvent<Summary, Own>): void {
    const nowMs = performance.now() - this.#calledAt;
    switch (event.kind) {
      case 'started':
        this.#timings = { ...this.#timings, startedMs: nowMs };
        this.#started.resolve(event);
        this.#format.resolve({ sampleRateHz: event.sampleRateHz, channels: 1 });
        break;
      case 'audio':
        this.#timings = { firstAudioMs: nowMs, ...this.#timings };
        break;
      case 'warning':
        this.#warnings.push(event);
        break;
      case 'words':
        this.#words.push(...event.words);
        break;
      case 'summary':
        this.#timings = { ...this.#timings, finishedMs: nowMs };
        this.#summary.resolve(event);
        break;
    }
  }

  /** Tell everybody who waits; what has settled stays as it is. */
  #fail<E>(error: E): E {
    this.#started.reject(error);
    this.#format.reject(error);
    this.#summary.reject(error);
    return error;
  }
}

/** What a call fails with whose signal was aborted; a `TimeoutError` stays one. */
function cancellation(signal: AbortSignal): ConnectError {
  return ConnectError.from(signal.reason, Code.Canceled);
}
