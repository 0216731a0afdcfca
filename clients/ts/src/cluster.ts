/** The model servers behind a balancer. */

import { createClient, type Transport } from '@connectrpc/connect';
import type { Caller, CallOptions } from './call.js';
import { durationMs } from './duration.js';
import { AdminService } from './gen/chatterbox/v1/admin_service_pb.js';
import {
  type Backend as WireBackend,
  Backend_State as WireState,
} from './gen/chatterbox/v1/backend_pb.js';
import { idOf, resourceName } from './names.js';
import { allPages } from './pages.js';
import {
  type BalancerTotals,
  balancerTotalsOf,
  type ServerTotals,
  serverTotalsOf,
} from './totals.js';

/** Whether a backend is offered new calls, and if not, why; as the contract has it. */
export type BackendState =
  | 'serving'
  | 'not-serving'
  | 'unreachable'
  | 'drained'
  | 'ejected'
  | 'unspecified';

/** A model server that a balancer forwards calls to. */
export interface Backend {
  /** `backends/127.0.0.1-50051`. */
  readonly name: string;
  /** `127.0.0.1-50051`. */
  readonly id: string;
  /** Where the balancer reaches it, host:port. */
  readonly address: string;
  readonly state: BackendState;
  /** Calls through this balancer that speak on it now. */
  readonly activeStreams: number;
  /** Calls that may speak on it at once. */
  readonly maxStreams: number;
  /** Utterances that it decodes together; 0 while it has not told. */
  readonly slots: number;
  readonly freeSlots: number;
  /** Utterances that wait for a slot. */
  readonly waiting: number;
  /** About how much audio it has yet to render. */
  readonly queuedAudioMs: number;
  /** Names of its models, `models/tiny`. */
  readonly models: readonly string[];
  /** Version of its software; empty while it has not told. */
  readonly version: string;
  /** Streams that its device carries in real time, as measured; 0 while that is not known. */
  readonly realTimeStreams: number;
  /** Names of the voices that it has in memory, `voices/ada`, at most 64. */
  readonly residentVoices: readonly string[];
  /** `undefined` while it has not told. */
  readonly totals: ServerTotals | undefined;
}

/** What forwards calls to backends. */
export interface Balancer {
  /** Calls that it forwards now, those that wait included. */
  readonly activeCalls: number;
  /** Calls among them that wait for a place on a backend. */
  readonly waitingCalls: number;
  readonly version: string;
  readonly totals: BalancerTotals;
}

/** Shows and steers the backends. `unsupported` where there is no balancer, or it is not shown. */
export interface Cluster {
  /** What the balancer tells of itself. */
  balancer(options?: CallOptions): Promise<Balancer>;
  /** All backends, in the order of their names. */
  list(options?: CallOptions): Promise<Backend[]>;
  /** Offer a backend no more calls; those that run go on. By name or id. */
  drain(nameOrId: string, options?: CallOptions): Promise<Backend>;
  /** Offer a drained backend calls again. By name or id. */
  undrain(nameOrId: string, options?: CallOptions): Promise<Backend>;
}

export function createCluster(transport: Transport, caller: Caller): Cluster {
  const client = createClient(AdminService, transport);
  return {
    balancer: async (options) => {
      const wire = await caller.ask((connect) => client.getBalancer({}, connect), options);
      const { activeCalls, waitingCalls, version } = wire;
      return { activeCalls, waitingCalls, version, totals: balancerTotalsOf(wire.totals) };
    },
    list: (options) =>
      allPages(
        (page) => caller.ask((connect) => client.listBackends(page, connect), options),
        (page) => page.backends.map(backendOf),
      ),
    drain: async (nameOrId, options) => {
      const name = resourceName('backends', nameOrId);
      return backendOf(
        await caller.ask((connect) => client.drainBackend({ name }, connect), options),
      );
    },
    undrain: async (nameOrId, options) => {
      const name = resourceName('backends', nameOrId);
      return backendOf(
        await caller.ask((connect) => client.undrainBackend({ name }, connect), options),
      );
    },
  };
}

const STATES: Readonly<Record<WireState, BackendState>> = {
  [WireState.UNSPECIFIED]: 'unspecified',
  [WireState.SERVING]: 'serving',
  [WireState.NOT_SERVING]: 'not-serving',
  [WireState.UNREACHABLE]: 'unreachable',
  [WireState.DRAINED]: 'drained',
  [WireState.EJECTED]: 'ejected',
};

function backendOf(wire: WireBackend): Backend {
  return {
    name: wire.name,
    id: idOf(wire.name),
    address: wire.address,
    state: STATES[wire.state] ?? 'unspecified',
    activeStreams: wire.activeStreams,
    maxStreams: wire.maxStreams,
    slots: wire.slots,
    freeSlots: wire.freeSlots,
    waiting: wire.waiting,
    queuedAudioMs: durationMs(wire.queuedAudio),
    models: wire.models,
    version: wire.version,
    realTimeStreams: wire.realTimeStreams,
    residentVoices: wire.residentVoices,
    totals: wire.totals && serverTotalsOf(wire.totals),
  };
}
