/** What a caller gives to be sent piece by piece. */

/**
 * The same items until the signal is aborted, when their source is told that nobody reads on; `fail`
 * is told when the source fails.
 */
export function untilAborted<T>(
  items: AsyncIterable<T>,
  signal: AbortSignal,
  fail: (reason: unknown) => void,
): AsyncIterable<T> {
  const source = items[Symbol.asyncIterator]();
  const close = async (): Promise<void> => {
    await source.return?.();
  };
  // What the source says to its end interests nobody by then.
  signal.addEventListener('abort', () => void close().catch(() => undefined), { once: true });
  const next = async (): Promise<IteratorResult<T>> => {
    if (signal.aborted) return { done: true, value: undefined };
    try {
      return await source.next();
    } catch (reason) {
      fail(reason);
      throw reason;
    }
  };
  return { [Symbol.asyncIterator]: () => ({ next }) };
}
