/** What can go wrong, as a union to switch on. */

import { Code, ConnectError } from '@connectrpc/connect';
import { durationMs } from './duration.js';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from './gen/google/rpc/error_details_pb.js';

/** How long to wait where the server did not say, in milliseconds. */
const DEFAULT_RETRY_MS = 1_000;

/** What each kind of error tells beside its message. */
export type ErrorDetails =
  /** A field is missing or out of range. `field` is its dotted path in the contract, or empty. */
  | { readonly kind: 'invalid'; readonly field: string }
  /** There is no such voice, model or backend. `resource` is its name, such as `voices/ada`. */
  | { readonly kind: 'not-found'; readonly resource: string }
  /** It exists already, or is read-only. `resource` is its name, or empty. */
  | { readonly kind: 'conflict'; readonly resource: string }
  /** The server's store is full or out of order: its operator has to look. */
  | { readonly kind: 'storage' }
  /** The API key is missing or wrong. */
  | { readonly kind: 'unauthenticated' }
  /** The API key does not allow this. */
  | { readonly kind: 'forbidden' }
  /** Every place is taken. The same call may succeed after `retryAfterMs`. */
  | { readonly kind: 'overloaded'; readonly retryAfterMs: number }
  /** Nobody answers: the server is starting, stopping, lost or out of reach. */
  | { readonly kind: 'unavailable'; readonly retryAfterMs: number }
  /** The call took longer than `timeoutMs` or the server allow, or a live session idled. */
  | { readonly kind: 'timeout' }
  /** The server does not offer this method. */
  | { readonly kind: 'unsupported' }
  /** The caller's `AbortSignal` ended the call, or its reader left. */
  | { readonly kind: 'cancelled' }
  /** A bug here or there; the server's log tells more under `requestId`. */
  | { readonly kind: 'internal' };

export type ErrorKind = ErrorDetails['kind'];

/** The only error that calls of this package fail with. */
export type ChatterboxError = Error & {
  readonly name: 'ChatterboxError';
  /** Stable, in UPPER_SNAKE case: the contract's `ErrorInfo.reason`, or one of this package. */
  readonly reason: string;
  /** The call's name in the server's log, if the server got to see it. */
  readonly requestId: string | undefined;
} & ErrorDetails;

class Failure extends Error {
  override readonly name = 'ChatterboxError';
  readonly reason: string;
  readonly requestId: string | undefined;

  constructor(message: string, about: { reason: string; requestId?: string; cause?: unknown }) {
    super(message, { cause: about.cause });
    this.reason = about.reason;
    this.requestId = about.requestId;
  }
}

/** Whether a caught value is an error of this package; narrows it to the union. */
export function isChatterboxError(value: unknown): value is ChatterboxError {
  return value instanceof Failure;
}

/** Any caught value as an error of this package. What already is one is returned as it is. */
export function chatterboxErrorOf(value: unknown): ChatterboxError {
  if (isChatterboxError(value)) return value;
  const error = ConnectError.from(value);
  const [info] = error.findDetails(ErrorInfoSchema);
  const details = detailsOf(error, info?.reason);
  const requestId = info?.metadata['request_id'] ?? error.metadata.get('x-request-id');
  return failure(details, error.rawMessage || details.kind, {
    reason: info?.reason ?? reasonOf(details.kind),
    cause: error.cause ?? value,
    ...(requestId ? { requestId } : {}),
  });
}

/** The error of a call that nobody but the owner of `signal` can have cancelled. */
export function callErrorOf(value: unknown, signal: AbortSignal | undefined): ChatterboxError {
  const error = chatterboxErrorOf(value);
  if (error.kind !== 'cancelled' || signal?.aborted) return error;
  // Node's HTTP/2 says "cancelled" where a connection broke.
  const lost = { kind: 'unavailable', retryAfterMs: DEFAULT_RETRY_MS } as const;
  return failure(lost, 'the connection was lost', { cause: value });
}

/** A new error of one kind. */
export function failure(
  details: ErrorDetails,
  message: string,
  about: { reason?: string; requestId?: string; cause?: unknown } = {},
): ChatterboxError {
  const reason = about.reason ?? reasonOf(details.kind);
  return Object.assign(new Failure(message, { ...about, reason }), details);
}

/** Reasons that say more than the code they come with. */
const STORAGE_REASONS: ReadonlySet<string | undefined> = new Set([
  'STORAGE_FULL',
  'STORAGE_FAILED',
]);

function detailsOf(error: ConnectError, reason: string | undefined): ErrorDetails {
  if (STORAGE_REASONS.has(reason)) return { kind: 'storage' };
  if (reason === undefined && isLostConnection(error)) {
    return { kind: 'unavailable', retryAfterMs: DEFAULT_RETRY_MS };
  }
  switch (error.code) {
    case Code.InvalidArgument:
    case Code.OutOfRange:
      return { kind: 'invalid', field: fieldOf(error) };
    case Code.NotFound:
      return { kind: 'not-found', resource: resourceOf(error) };
    case Code.AlreadyExists:
    case Code.FailedPrecondition:
      return { kind: 'conflict', resource: resourceOf(error) };
    case Code.Unauthenticated:
      return { kind: 'unauthenticated' };
    case Code.PermissionDenied:
      return { kind: 'forbidden' };
    case Code.ResourceExhausted:
      return { kind: 'overloaded', retryAfterMs: retryAfterMs(error) };
    case Code.Unavailable:
      return { kind: 'unavailable', retryAfterMs: retryAfterMs(error) };
    case Code.DeadlineExceeded:
    case Code.Aborted: // the contract's word for a session that idled or lasted too long
      return { kind: 'timeout' };
    case Code.Unimplemented:
      return { kind: 'unsupported' };
    case Code.Canceled:
      return { kind: 'cancelled' };
    default:
      return { kind: 'internal' };
  }
}

/** Whether the way to the server broke, as `fetch` (TypeError) and Node's HTTP/2 say it. */
function isLostConnection({ cause, code }: ConnectError): boolean {
  const nodeCode = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  return cause instanceof TypeError || code === Code.Aborted || nodeCode.startsWith('ERR_HTTP2_');
}

function fieldOf(error: ConnectError): string {
  return error.findDetails(BadRequestSchema)[0]?.fieldViolations[0]?.field ?? '';
}

function resourceOf(error: ConnectError): string {
  return error.findDetails(ResourceInfoSchema)[0]?.resourceName ?? '';
}

function retryAfterMs(error: ConnectError): number {
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return delay === undefined ? DEFAULT_RETRY_MS : durationMs(delay);
}

function reasonOf(kind: ErrorKind): string {
  return kind.replace('-', '_').toUpperCase();
}
