"""A device as a whole: steps a second, first audio, how many streams it carries, memory."""

import asyncio
from collections.abc import Iterator

import torch

from chatterbox.benchmark.machine import MB, peak_memory
from chatterbox.benchmark.report import Advance, Figure
from chatterbox.benchmark.stream import Heard, listen_together, running_engine, stream_config
from chatterbox.benchmark.subject import Subject
from chatterbox.benchmark.t3 import decode_rates, differing_tokens

MOST_STREAMS = 512
_FINE = 8  # the number of streams is found to an eighth


def measure_device(subject: Subject, advance: Advance) -> Iterator[Figure]:
    """All that is worth knowing before a device is put to work."""
    asked, device = subject.conditions, subject.models.device
    yield Figure.of("steps_per_s", decode_rates(subject, streams=1))
    if asked.streams > 1:
        rates = decode_rates(subject, streams=asked.streams)
        yield Figure.of(f"tokens_per_s_of_{asked.streams}", rates)
    yield Figure.of("differing_tokens", [differing_tokens(subject, streams=asked.streams)])
    advance(0.3)
    alone = asyncio.run(_hear(subject, streams=1, repeats=asked.repeats))
    heard = [each for run in alone for each in run]
    yield Figure.of("ttfa_s", [each.first_audio_s for each in heard])
    yield Figure.of("rtf", [each.real_time_factor for each in heard])
    advance(0.2)
    yield from _streams_in_real_time(subject)
    advance(0.5)
    yield from peak_memory(device)
    if device.type == "cuda":
        whole = torch.cuda.get_device_properties(device).total_memory
        yield Figure.of("device_memory_mb", [whole / MB])


def _streams_in_real_time(subject: Subject) -> Iterator[Figure]:
    """The most streams, started together, that have neither gap nor end later than they sound.

    Their number is doubled while that holds, then narrowed down.
    """
    best, too_many, count, audio_s_per_s = 0, MOST_STREAMS + 1, 1, 0.0
    while too_many - best > max(1, best // _FINE):
        (run,) = asyncio.run(_hear(subject, streams=count, repeats=1))
        if any(heard.underruns or heard.real_time_factor >= 1 for heard in run):
            too_many = count
        else:
            best = count
            audio_s_per_s = sum(h.audio_s for h in run) / max(h.wall_s for h in run)
        bracketed = too_many <= MOST_STREAMS
        count = (best + too_many) // 2 if bracketed else min(2 * best, MOST_STREAMS)
    yield Figure.of("streams_in_real_time", [best])
    if best:
        yield Figure.of("audio_s_per_s", [audio_s_per_s])


async def _hear(subject: Subject, *, streams: int, repeats: int) -> list[list[Heard]]:
    """So many utterances together, again and again after a warm-up."""
    asked = subject.conditions
    config = stream_config(asked, streams=streams)
    async with running_engine(subject.exact_device(config), config) as engine:
        runs = [
            await listen_together(
                engine, subject, streams=streams, tokens=asked.tokens, first=turn * streams
            )
            for turn in range(repeats + 1)
        ]
    return runs[1:]
