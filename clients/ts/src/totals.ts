/** What has been done so far; the difference of two looks is what happened between them. */

import { durationMs } from './duration.js';
import type {
  BalancerTotals as WireBalancerTotals,
  ServerTotals as WireServerTotals,
} from './gen/chatterbox/v1/totals_pb.js';

/** What a model server has done since it started. */
export interface ServerTotals {
  /** Calls that have ended, however they ended. */
  readonly calls: number;
  /** Calls among them that failed by the service's doing. */
  readonly failedCalls: number;
  /** Length of the audio that was sent. */
  readonly audioMs: number;
  /** Gaps in mid-speech, as listeners in real time heard them. */
  readonly underruns: number;
  readonly timeToFirstAudio: LatencyHistogram;
}

/** How many calls took how long. */
export interface LatencyHistogram {
  /** Upper bounds of the buckets, ascending. */
  readonly upperBoundsMs: readonly number[];
  /** Calls in each bucket, and last those above every bound: one more than there are bounds. */
  readonly counts: readonly number[];
}

/** What a balancer has done since it started. */
export interface BalancerTotals {
  readonly calls: number;
  /** Calls among them that failed by the service's doing, refusals included. */
  readonly failedCalls: number;
  /** Calls refused for want of a backend or of room. */
  readonly refusedCalls: number;
  /** Further attempts at calls that a backend had failed before it answered. */
  readonly retries: number;
  /** Streams whose backend was lost while it answered. */
  readonly lostStreams: number;
}

export function serverTotalsOf(wire: WireServerTotals): ServerTotals {
  const { upperBoundsSeconds = [], counts = [] } = wire.timeToFirstAudio ?? {};
  return {
    calls: Number(wire.calls),
    failedCalls: Number(wire.failedCalls),
    audioMs: durationMs(wire.audio),
    underruns: Number(wire.underruns),
    timeToFirstAudio: {
      upperBoundsMs: upperBoundsSeconds.map((bound) => bound * 1_000),
      counts: counts.map(Number),
    },
  };
}

export function balancerTotalsOf(wire: WireBalancerTotals | undefined): BalancerTotals {
  return {
    calls: Number(wire?.calls ?? 0),
    failedCalls: Number(wire?.failedCalls ?? 0),
    refusedCalls: Number(wire?.refusedCalls ?? 0),
    retries: Number(wire?.retries ?? 0),
    lostStreams: Number(wire?.lostStreams ?? 0),
  };
}
