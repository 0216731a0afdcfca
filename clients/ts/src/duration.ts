/** Durations of the contract as milliseconds. */

import { create } from '@bufbuild/protobuf';
import { type Duration, DurationSchema } from '@bufbuild/protobuf/wkt';

/** Milliseconds, with fractions; 0 for a duration that was not sent. */
export function durationMs(duration: Duration | undefined): number {
  return duration === undefined ? 0 : Number(duration.seconds) * 1_000 + duration.nanos / 1e6;
}

/** A duration of the contract, exact to the nanosecond. */
export function durationOf(milliseconds: number): Duration {
  const seconds = Math.floor(milliseconds / 1_000);
  const nanos = Math.round((milliseconds - seconds * 1_000) * 1e6);
  // Rounding may fill the second up.
  return create(DurationSchema, {
    seconds: BigInt(seconds + Math.floor(nanos / 1e9)),
    nanos: nanos % 1e9,
  });
}
