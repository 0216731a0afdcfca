import { create } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { describe, expect, test } from 'vitest';
import { callErrorOf } from '../src/errors.js';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from '../src/gen/google/rpc/error_details_pb.js';
import { type ChatterboxError, chatterboxErrorOf, isChatterboxError } from '../src/index.js';

type Detail = NonNullable<ConstructorParameters<typeof ConnectError>[3]>[number];

const info = (reason: string): Detail => ({
  desc: ErrorInfoSchema,
  value: { reason, domain: 'chatterbox', metadata: { request_id: 'r-1' } },
});

function failed(code: Code, ...details: Detail[]): ChatterboxError {
  return chatterboxErrorOf(new ConnectError('said so', code, { 'x-request-id': 'r-0' }, details));
}

describe('an error', () => {
  test('names the field, the reason and the call', () => {
    const error = failed(Code.InvalidArgument, info('OUT_OF_RANGE'), {
      desc: BadRequestSchema,
      value: { fieldViolations: [{ field: 'options.top_p' }] },
    });
    expect(error).toMatchObject({
      kind: 'invalid',
      field: 'options.top_p',
      reason: 'OUT_OF_RANGE',
      requestId: 'r-1',
      message: 'said so',
    });
  });

  test('names what was not found', () => {
    const value = create(ResourceInfoSchema, { resourceName: 'voices/nobody' });
    const error = failed(Code.NotFound, info('NOT_FOUND'), { desc: ResourceInfoSchema, value });
    expect(error).toMatchObject({ kind: 'not-found', resource: 'voices/nobody' });
  });

  test.each([
    [Code.ResourceExhausted, 'overloaded'],
    [Code.Unavailable, 'unavailable'],
  ])('of code %i says when to try again', (code, kind) => {
    const retryDelay = { seconds: 2n, nanos: 500_000_000 };
    const told = failed(code, info('OVERLOADED'), { desc: RetryInfoSchema, value: { retryDelay } });
    expect(told).toMatchObject({ kind, retryAfterMs: 2_500 });
    expect(failed(code)).toMatchObject({ kind, retryAfterMs: 1_000 });
  });

  test.each([
    [Code.AlreadyExists, 'conflict'],
    [Code.FailedPrecondition, 'conflict'],
    [Code.Unauthenticated, 'unauthenticated'],
    [Code.PermissionDenied, 'forbidden'],
    [Code.DeadlineExceeded, 'timeout'],
    [Code.Unimplemented, 'unsupported'],
    [Code.Canceled, 'cancelled'],
    [Code.Internal, 'internal'],
    [Code.DataLoss, 'internal'],
  ])('of code %i is of kind %s', (code, kind) => {
    expect(failed(code).kind).toBe(kind);
  });

  test.each([
    [Code.ResourceExhausted, 'STORAGE_FULL'],
    [Code.FailedPrecondition, 'STORAGE_FAILED'],
  ])('of code %i and reason %s is of the store', (code, reason) => {
    expect(failed(code, info(reason))).toMatchObject({ kind: 'storage', reason });
  });

  test('tells a session that idled from a connection that broke', () => {
    expect(failed(Code.Aborted, info('SESSION_IDLE')).kind).toBe('timeout');
    expect(failed(Code.Aborted).kind).toBe('unavailable');
    expect(chatterboxErrorOf(new TypeError('fetch failed')).kind).toBe('unavailable');
    const reset = Object.assign(new Error('closed'), { code: 'ERR_HTTP2_STREAM_ERROR' });
    const wire = new ConnectError('closed', Code.Internal, undefined, undefined, reset);
    expect(chatterboxErrorOf(wire).kind).toBe('unavailable');
  });

  test('is a cancellation only where somebody here cancelled', () => {
    const wire = new ConnectError('closed', Code.Canceled);
    expect(callErrorOf(wire, AbortSignal.abort()).kind).toBe('cancelled');
    expect(callErrorOf(wire, undefined)).toMatchObject({ kind: 'unavailable', cause: wire });
  });

  test('keeps the call that the headers name, and its cause', () => {
    const cause = new Error('below');
    const wire = new ConnectError('x', Code.Internal, { 'x-request-id': 'r-0' }, [], cause);
    expect(chatterboxErrorOf(wire)).toMatchObject({ requestId: 'r-0', cause });
  });

  test('is known by itself and turned into nothing else', () => {
    const error = failed(Code.Internal);
    expect(isChatterboxError(error)).toBe(true);
    expect(chatterboxErrorOf(error)).toBe(error);
    expect(error).toBeInstanceOf(Error);
    expect(isChatterboxError(new ConnectError('x'))).toBe(false);
  });

  test('carries a message even where there was none', () => {
    expect(chatterboxErrorOf(new ConnectError('', Code.Unavailable)).message).toBe('unavailable');
  });
});
