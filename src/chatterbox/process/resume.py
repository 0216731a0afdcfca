"""How model servers and a balancer pass on where a stream stands; see worker/v1/resume.proto.

The footer is put together and taken apart here byte by byte, so that a balancer need not parse the
audio in front of it.
"""

from dataclasses import dataclass

RESUME_KEY = "x-chatterbox-resume"  # metadata of a request, between our own processes only
WANTED = "wanted"  # footers, behind the responses
GO_ON = "go-on"  # the first request has a footer: go on from there, with footers

_STATE_TAG = bytes([0xC2, 0xA9, 0x07])  # field 15000, length-delimited
_TAKEN_TAG = bytes([0xCD, 0xA9, 0x07])  # field 15001, fixed32
_SIZE_TAG = bytes([0xD5, 0xA9, 0x07])  # field 15002, fixed32
_TAIL_BYTES = 2 * (3 + 4)


@dataclass(frozen=True, slots=True)
class Footer:
    """What stands behind a response."""

    written: bytes  # all of it, to be put behind the first request of the next attempt
    requests_taken: int  # need not be sent again


def footer(state: bytes, *, requests_taken: int) -> bytes:
    """A `ResumeFooter`, in the order of its fields."""
    length = _varint(len(state))
    size = len(_STATE_TAG) + len(length) + len(state) + _TAIL_BYTES
    return b"".join(
        (
            _STATE_TAG,
            length,
            state,
            _TAKEN_TAG,
            requests_taken.to_bytes(4, "little"),
            _SIZE_TAG,
            size.to_bytes(4, "little"),
        )
    )


def split(message: bytes) -> tuple[bytes, Footer | None]:
    """A response as its client is to see it, and the footer that stood behind it, if any did."""
    tail = message[-_TAIL_BYTES:]
    if tail[7:10] != _SIZE_TAG or tail[:3] != _TAKEN_TAG:
        return message, None
    size = int.from_bytes(tail[10:], "little")
    begin = len(message) - size
    if begin < 0 or message[begin : begin + 3] != _STATE_TAG:
        return message, None
    return message[:begin], Footer(message[begin:], int.from_bytes(tail[3:7], "little"))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
