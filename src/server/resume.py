"""Resuming: what this server writes behind its responses so that another can go on, and reads.

A state is good for one call, for a while, and only if a server with the same key has made it. It is
bound to no caller, so where callers are asked it is for balancers alone (and admins, as whom a balancer may
call), which pass it to nobody.
Without a key nothing is written and nothing is accepted.
"""

import hashlib
import hmac
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError, Message

from chatterbox.errors import ConfigError, InvalidRequest
from chatterbox.place import SpeechPlace
from chatterbox.process.auth.callers import current_caller
from chatterbox.process.resume import GO_ON, RESUME_KEY, WANTED, footer
from chatterbox.worker.v1 import resume_pb2 as pb
from server.convert_resume import place_message, place_of

MAX_AGE_S = 600.0  # of a state; a balancer needs it within moments
LEAST_KEY_BYTES = 16
COMPRESSION = 1  # the fastest: there is a state for every response


@dataclass(frozen=True, slots=True)
class Begun:
    """Where another server was."""

    place: SpeechPlace
    output: bytes  # of its `Responses.state`


class Resumption:
    """One call's states. `key` is common to the servers of an installation."""

    def __init__(
        self,
        key: bytes | None,
        metadata: Iterable[tuple[str, str | bytes]],
        *,
        method: str,
    ) -> None:
        caller = current_caller.get()
        is_inside = caller is None or caller.is_inside
        asked = dict(metadata).get(RESUME_KEY) if key is not None and is_inside else None
        self.is_wanted = asked in (WANTED, GO_ON)
        self._goes_on = asked == GO_ON
        self._key = key or b""
        self._method = method
        self._call_digest = b""

    def begun(self, first: Message) -> Begun | None:
        """Where to go on, if anywhere, as the call's first request says; to be asked first.

        Raises InvalidRequest for a state that was not made for this call, by somebody who knows
        the key, lately.
        """
        if not self.is_wanted:
            return None
        sent = first.SerializeToString()
        self._call_digest = self._digest(first)
        return self._opened(sent) if self._goes_on else None

    def _digest(self, first: Message) -> bytes:
        """The same for the same request, with a footer or without."""
        bare = type(first)()
        bare.CopyFrom(first)
        bare.DiscardUnknownFields()
        request = bare.SerializeToString(deterministic=True)
        return hashlib.sha256(self._method.encode() + b"\0" + request).digest()

    def _opened(self, sent: bytes) -> Begun:
        try:
            signed = pb.SignedResumeState.FromString(pb.ResumeFooter.FromString(sent).state)
            if not hmac.compare_digest(self._signature(signed.state), signed.signature):
                raise _refused("it was not made by a server of this installation")
            state = pb.ResumeState.FromString(zlib.decompress(signed.state))
        except (DecodeError, zlib.error):
            raise _refused("it cannot be read") from None
        if not hmac.compare_digest(state.call_digest, self._call_digest):
            raise _refused("it was made for another call")
        age_s = time.time() - state.made_unix_ms / 1000
        if age_s > MAX_AGE_S:
            raise _refused("it is too old")
        return Begun(place_of(state, age_s=max(0.0, age_s)), state.output)

    def sign(self, response: Message, place: SpeechPlace, output: bytes) -> None:
        """Put behind a response where the stream stands after it."""
        message = place_message(place)
        message.call_digest = self._call_digest
        message.made_unix_ms = round(time.time() * 1000)
        message.output = output
        state = zlib.compress(message.SerializeToString(), COMPRESSION)
        signed = pb.SignedResumeState(state=state, signature=self._signature(state))
        # The first request is never taken for good: the next server wants to see it.
        written = footer(signed.SerializeToString(), requests_taken=1 + place.inputs_taken)
        response.MergeFromString(written)  # as fields that its type does not have

    def _signature(self, state: bytes) -> bytes:
        return hmac.digest(self._key, state, "sha256")


def resume_key(path: Path | None) -> bytes | None:
    """The key in a file; raises ConfigError if it cannot be one."""
    if path is None:
        return None
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"--resume-key-file: {error}") from error
    if len(key) < LEAST_KEY_BYTES:
        raise ConfigError(f"--resume-key-file: a key has at least {LEAST_KEY_BYTES} bytes")
    return key


def _refused(why: str) -> InvalidRequest:
    return InvalidRequest(f"the resume state is refused: {why}", reason="RESUME_INVALID")
