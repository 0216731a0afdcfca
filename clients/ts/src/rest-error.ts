/** Errors of the REST side. */

import { createRegistry, fromJson, type JsonValue } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from './gen/google/rpc/error_details_pb.js';
import { StatusSchema } from './gen/google/rpc/status_pb.js';

const DETAILS = createRegistry(
  BadRequestSchema,
  ErrorInfoSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
);

/** Codes of what stands in front of the server, which tells none itself. */
const CODES: Readonly<Record<number, Code>> = {
  401: Code.Unauthenticated,
  403: Code.PermissionDenied,
  404: Code.Unimplemented,
  413: Code.InvalidArgument,
  429: Code.ResourceExhausted,
  502: Code.Unavailable,
  503: Code.Unavailable,
  504: Code.DeadlineExceeded,
};

/** The error that the same call would have met over gRPC. */
export function restErrorOf(answer: Response, body: JsonValue): ConnectError {
  const status = fromJson(StatusSchema, body, { registry: DETAILS, ignoreUnknownFields: true });
  const code: Code = status.code || (CODES[answer.status] ?? Code.Internal);
  const error = new ConnectError(status.message, code, answer.headers);
  error.details = status.details.map(({ typeUrl, value }) => ({
    type: typeUrl.slice(typeUrl.lastIndexOf('/') + 1),
    value,
  }));
  return error;
}
