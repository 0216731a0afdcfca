/** A promise that is settled from outside; that it fails is no news to anybody who does not await it. */
export class Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;

  constructor() {
    let settle: [(value: T) => void, (reason: unknown) => void] | undefined;
    this.promise = new Promise<T>((resolve, reject) => {
      settle = [resolve, reject];
    });
    this.promise.catch(() => undefined);
    // The executor has run by now.
    [this.resolve, this.reject] = settle as NonNullable<typeof settle>;
  }
}
