/** Errors in words: what happened, and what to do. */

import { chatterboxErrorOf, isMicrophoneError } from '@chatterbox/client';
import { m } from '@/messages';

export interface Explanation {
  readonly title: string;
  readonly advice: string;
}

/** Thrown where the browser has no way to play live sound. */
export class NoSoundError extends Error {}

export function explain(reason: unknown): Explanation {
  if (reason instanceof NoSoundError) {
    return { title: m.errors.noSound, advice: m.errors.noSoundAdvice };
  }
  if (isMicrophoneError(reason)) {
    const { kind } = reason;
    return { title: m.errors.microphone[kind], advice: m.errors.microphoneAdvice[kind] };
  }
  if (reason instanceof DOMException && reason.name === 'QuotaExceededError') {
    return { title: m.errors.storage, advice: m.errors.storageAdvice };
  }
  return explainCall(reason);
}

function explainCall(reason: unknown): Explanation {
  const error = chatterboxErrorOf(reason);
  const e = m.errors;
  switch (error.kind) {
    case 'invalid': {
      const title = error.field ? e.invalidField(error.field) : e.invalid;
      return { title, advice: sentence(error.message) || e.invalidAdvice };
    }
    case 'not-found':
      return { title: e.notFound(error.resource), advice: e.notFoundAdvice };
    case 'conflict':
      return { title: e.conflict, advice: sentence(error.message) || e.conflictAdvice };
    case 'storage':
      return { title: e.serverStorage, advice: sentence(error.message) || e.serverStorageAdvice };
    case 'unauthenticated':
      return { title: e.unauthenticated, advice: e.unauthenticatedAdvice };
    case 'forbidden':
      return { title: e.forbidden, advice: e.forbiddenAdvice };
    case 'overloaded':
      return {
        title: e.overloaded,
        advice: e.overloadedAdvice(Math.max(1, Math.ceil(error.retryAfterMs / 1_000))),
      };
    case 'unavailable':
      return { title: e.unavailable, advice: e.unavailableAdvice };
    case 'timeout':
      return { title: e.timeout, advice: e.timeoutAdvice };
    case 'unsupported':
      return { title: e.unsupported, advice: e.unsupportedAdvice };
    case 'cancelled':
      return { title: e.cancelled, advice: e.cancelledAdvice };
    case 'internal':
      return { title: e.internal, advice: e.internalAdvice(error.requestId) };
  }
}

/** The server's words with a capital and a full stop. */
function sentence(text: string): string {
  const trimmed = text.trim();
  if (trimmed === '') return '';
  const begun = trimmed[0]?.toUpperCase() + trimmed.slice(1);
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}
