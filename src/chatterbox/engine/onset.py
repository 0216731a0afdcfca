"""Onset: whether a stream can go on without a gap, and so may begin, or let others begin."""

import itertools

from chatterbox.engine.config import TOKEN_RATE_HZ, EngineConfig
from chatterbox.engine.sequence import Sequence

_CAUTION = 1.1  # some things take longer than they did
_FORESIGHT_TOKENS = 400  # sixteen seconds: chunks have long been as large as they get


def can_last(
    sequence: Sequence, config: EngineConfig, *, lead_s: float, draw_s: float, render_s: float
) -> bool:
    """Whether `lead_s` of audio lasts until the next chunk, with it until the one after, and so on.

    `draw_s` and `render_s` are what each further token takes while the device is as busy as it
    is. Chunks grow from one to the next, so that the first may have been heard before a busy
    device has the second.
    """
    drawn, voiced = len(sequence.tokens), sequence.voiced_count
    ends = [voiced, *config.chunk_ends[sequence.chunk_index :]]
    total = drawn if sequence.is_drawn else sequence.expected_tokens
    if not sequence.is_drawn and total <= drawn:  # longer than expected; who knows how long
        total = voiced + _FORESIGHT_TOKENS
    for last, following in itertools.pairwise(ends):
        if last >= min(total, voiced + _FORESIGHT_TOKENS):
            return True
        end = min(following, total)
        missing = max(0, min(end + config.margin_tokens, total) - drawn)
        needed_s = _CAUTION * (missing * draw_s + (end - voiced) * render_s)
        if needed_s > lead_s + (last - voiced) / TOKEN_RATE_HZ:
            return False
    return True
