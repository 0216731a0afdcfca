/** What every call has: its options, its headers, and errors of this package. */

import type { CallOptions as ConnectOptions } from '@connectrpc/connect';
import { callErrorOf } from './errors.js';

/** Options of one call. */
export interface CallOptions {
  /** Ends the call, here and on the server, which frees its place at once. */
  readonly signal?: AbortSignal | undefined;
  /** After how long the call fails with `timeout`. Default: 10 s for lists, none for speech. */
  readonly timeoutMs?: number | undefined;
  /**
   * The call's name in the server's log: at most 128 letters, digits, `-`, `_`, `.`, `:`.
   * Default: the server chooses one.
   */
  readonly requestId?: string | undefined;
}

/** A key, or where to get it, asked before each call. */
export type ApiKey = string | (() => string | undefined | Promise<string | undefined>);

const UNARY_TIMEOUT_MS = 10_000;

/** Makes calls with one key. */
export class Caller {
  readonly #apiKey: ApiKey | undefined;

  constructor(apiKey: ApiKey | undefined) {
    this.#apiKey = apiKey;
  }

  /** One question, one answer. */
  async ask<Answer>(
    method: (options: ConnectOptions) => Promise<Answer>,
    options: CallOptions = {},
  ): Promise<Answer> {
    try {
      const timeoutMs = options.timeoutMs ?? UNARY_TIMEOUT_MS;
      return await method(await this.connectOptions({ ...options, timeoutMs }));
    } catch (reason) {
      throw callErrorOf(reason, options.signal);
    }
  }

  /** The options as Connect takes them, with this caller's key. */
  async connectOptions({ signal, timeoutMs, requestId }: CallOptions): Promise<ConnectOptions> {
    const headers: Record<string, string> = {};
    const key = typeof this.#apiKey === 'function' ? await this.#apiKey() : this.#apiKey;
    if (key) headers['authorization'] = `Bearer ${key}`;
    if (requestId) headers['x-request-id'] = requestId;
    return {
      headers,
      ...(signal === undefined ? {} : { signal }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    };
  }
}
