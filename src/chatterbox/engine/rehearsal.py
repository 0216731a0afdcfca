"""Rehearsal: speech for nobody, before the first listener, that tells what the work costs."""

import time
from collections.abc import Callable
from dataclasses import replace

from chatterbox.engine.capacity import CapacityMeter
from chatterbox.engine.config import EngineConfig
from chatterbox.engine.device import Device
from chatterbox.engine.entrance import Entrance
from chatterbox.engine.sequence import Outcome, Sequence
from chatterbox.engine.step_loop import StepLoop
from chatterbox.engine.stream import Rendered
from chatterbox.errors import ChatterboxError

_COMPANY = 4  # spoken together, to see how the cost grows
_CHUNKS = 3  # of the one that is spoken for longer, up to the largest
_QUICK_S = 1.0  # for the first chunk; who needs longer would keep the server from starting


class _Nobody:
    """A sink for what is not heard."""

    def deliver(self, rendered: Rendered) -> None:
        pass

    def finish(self, outcome: Outcome) -> None:
        pass

    def fail(self, error: ChatterboxError) -> None:
        raise error


def rehearse(
    device: Device, config: EngineConfig, *, clock: Callable[[], float] = time.monotonic
) -> CapacityMeter:
    """Speak a trial utterance alone and in company; returns what was measured.

    A slow device says its beginning only. Raises what the device raises.
    """
    open_to_all = replace(config, max_utilisation=0.0)
    meter = CapacityMeter()
    loop = StepLoop(device, open_to_all, Entrance(open_to_all), meter=meter, clock=clock)
    beginning = config.first_chunk_tokens
    long = min(config.chunk_ends[_CHUNKS], config.max_speech_tokens)
    for family in device.families:
        began_s = clock()
        _speak(loop, device, family, count=1, tokens=beginning)
        if clock() - began_s < _QUICK_S:
            _speak(loop, device, family, count=min(_COMPANY, config.slots), tokens=beginning)
            meter.forget_mix()  # so short, an utterance costs more than it usually does
            _speak(loop, device, family, count=1, tokens=long)
    return meter


def _speak(loop: StepLoop, device: Device, family: str, *, count: int, tokens: int) -> None:
    for _ in range(count):
        utterance = device.trial(family)
        if utterance is None:
            return
        sequence = Sequence(utterance=utterance, max_tokens=tokens)
        loop.entrance.enter(sequence)
        loop.take(sequence, _Nobody())
    while not loop.is_idle:
        loop.step()
