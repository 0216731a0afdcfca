/** One stream of speech, from its call to its summary. */

import { Code, ConnectError } from '@connectrpc/connect';
import { Deferred } from './deferred.js';
import { callErrorOf, failure } from './errors.js';
import type { StreamingSynthesizeResponse } from './gen/chatterbox/v1/synthesis_pb.js';
import { joinSamples, type Pcm } from './pcm.js';
import {
  type SpeechEvent,
  type SpeechStarted,
  type SpeechSummary,
  type SpeechWarning,
  speechEvent,
} from './speech-event.js';
import { encodeWav } from './wav.js';

/** The form of the samples: mono, 16 bits. */
export interface PcmFormat {
  readonly sampleRateHz: number;
  readonly channels: 1;
}

/** How long this side waited, from the call on; `undefined` until it has happened. */
export interface SpeechTimings {
  readonly startedMs?: number;
  readonly firstAudioMs?: number;
  readonly finishedMs?: number;
}

/** A whole stream. */
export interface CollectedSpeech extends Pcm<Int16Array<ArrayBuffer>> {
  readonly started: SpeechStarted;
  readonly summary: SpeechSummary;
  readonly warnings: readonly SpeechWarning[];
}

/**
 * The call behind a `Speech`. It ends when the signal is aborted, as does its text source, which
 * tells `fail` of an error of its own.
 */
export type OpenStream = (
  signal: AbortSignal,
  fail: (reason: unknown) => void,
) => Promise<AsyncIterable<StreamingSynthesizeResponse>>;

/**
 * Sound that is still being computed. It is read once: as blocks of samples (`for await`), as
 * events, or all together. The call begins at once; leaving the loop, or the caller's
 * `AbortSignal`, ends it on the server.
 *
 * Everything here fails with a `ChatterboxError`. The promises may be left alone: one that nobody
 * awaits fails unseen.
 */
export class Speech implements AsyncIterable<Int16Array<ArrayBuffer>> {
  readonly #calledAt = performance.now();
  readonly #call = new AbortController();
  readonly #started = new Deferred<SpeechStarted>();
  readonly #format = new Deferred<PcmFormat>();
  readonly #summary = new Deferred<SpeechSummary>();
  readonly #warnings: SpeechWarning[] = [];
  readonly #events: AsyncGenerator<SpeechEvent, void>;
  readonly #first: Promise<IteratorResult<SpeechEvent, void>>;
  #sourceError: { readonly reason: unknown } | undefined;
  #timings: SpeechTimings = {};
  #isRead = false;

  /** @internal Made by `speak` and `speakLive`. */
  constructor(open: OpenStream, signal: AbortSignal | undefined) {
    this.#events = this.#read(open, signal);
    this.#first = this.#events.next();
    this.#first.catch(() => undefined);
  }

  /** The settings in force, told before any audio is computed. */
  get started(): Promise<SpeechStarted> {
    return this.#started.promise;
  }

  /** What the blocks hold. */
  get format(): Promise<PcmFormat> {
    return this.#format.promise;
  }

  /** What it amounted to; settles once the stream has been read to its end or given up. */
  get summary(): Promise<SpeechSummary> {
    return this.#summary.promise;
  }

  /** The warnings so far. */
  get warnings(): readonly SpeechWarning[] {
    return this.#warnings;
  }

  /** How long this side waited for what has come so far. */
  get timings(): SpeechTimings {
    return this.#timings;
  }

  /** Everything the server says, in order. */
  events(): AsyncIterableIterator<SpeechEvent, void> {
    if (this.#isRead) throw new TypeError('a speech can be read only once');
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
  async collect(): Promise<CollectedSpeech> {
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
    };
  }

  /** A WAV file of all of it. */
  async toWav(): Promise<Uint8Array<ArrayBuffer>> {
    return encodeWav(await this.collect());
  }

  async *#read(
    open: OpenStream,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<SpeechEvent, void> {
    const cancel = (): void => {
      this.#call.abort(signal?.reason);
      this.#fail(callErrorOf(ConnectError.from(signal?.reason, Code.Canceled), signal));
    };
    const fail = (reason: unknown): void => {
      this.#sourceError = { reason };
      this.#call.abort();
    };
    signal?.addEventListener('abort', cancel);
    if (signal?.aborted) cancel();
    try {
      for await (const message of await open(this.#call.signal, fail)) {
        const event = speechEvent(message);
        if (event === undefined) continue; // of a newer server
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
      this.#fail(failure({ kind: 'cancelled' }, 'the speech was not read to its end'));
    }
  }

  #note(event: SpeechEvent): void {
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
