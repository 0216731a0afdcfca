/** Why there is no microphone. */

export type MicrophoneErrorKind =
  /** The person, or the page's policy, said no. */
  | 'denied'
  /** There is none, or not the one asked for. */
  | 'missing'
  /** Another program has it. */
  | 'busy'
  /** Pages get one only over HTTPS or from this machine. */
  | 'insecure'
  /** Anything else; `cause` tells. */
  | 'failed';

/** The only error that opening a microphone fails with. */
export type MicrophoneError = Error & {
  readonly name: 'MicrophoneError';
  readonly kind: MicrophoneErrorKind;
};

class Failure extends Error {
  override readonly name = 'MicrophoneError';
  readonly kind: MicrophoneErrorKind;

  constructor(kind: MicrophoneErrorKind, message: string, cause?: unknown) {
    super(message, { cause });
    this.kind = kind;
  }
}

/** Whether a caught value says why there is no microphone. */
export function isMicrophoneError(value: unknown): value is MicrophoneError {
  return value instanceof Failure;
}

const KINDS: Readonly<Record<string, MicrophoneErrorKind>> = {
  NotAllowedError: 'denied',
  SecurityError: 'denied',
  NotFoundError: 'missing',
  OverconstrainedError: 'missing',
  NotReadableError: 'busy',
  AbortError: 'busy',
};

const MESSAGES: Readonly<Record<MicrophoneErrorKind, string>> = {
  denied: 'the page may not use the microphone',
  missing: 'there is no such microphone',
  busy: 'another program has the microphone',
  insecure: 'a microphone needs HTTPS, or a page of this machine',
  failed: 'the microphone could not be opened',
};

/** What the browser threw, as an error of this package. */
export function microphoneErrorOf(cause: unknown): MicrophoneError {
  if (isMicrophoneError(cause)) return cause;
  const name = cause instanceof Error || cause instanceof DOMException ? cause.name : '';
  return microphoneError(KINDS[name] ?? 'failed', cause);
}

export function microphoneError(kind: MicrophoneErrorKind, cause?: unknown): MicrophoneError {
  return new Failure(kind, MESSAGES[kind], cause);
}
