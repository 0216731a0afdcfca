"""The loop before a device that renders while it draws: what is begun, waited for, let go of."""

from collections.abc import Mapping
from collections.abc import Sequence as Several
from typing import TYPE_CHECKING, cast

import pytest

from chatterbox.audio.clip import Clip
from chatterbox.engine.config import EngineConfig
from chatterbox.engine.entrance import Entrance
from chatterbox.engine.job import Done, Job
from chatterbox.engine.plan import Plan
from chatterbox.engine.sequence import Chunk, Outcome, Sequence, Utterance
from chatterbox.engine.step_loop import StepLoop
from chatterbox.engine.stream import Rendered
from chatterbox.engine.tone import ToneDevice
from chatterbox.errors import ChatterboxError, EngineStopped
from chatterbox.speech import Sampling

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatterbox.models.conditioning import Conditioning

NO_VOICE = cast("Callable[[], Conditioning]", None)
CONFIG = EngineConfig(slots=2, max_utilisation=0.0)


class Slow:
    """A rendering that is done when it is told to be, or when somebody waits."""

    seconds = 0.5

    def __init__(self, clips: Several[Clip]) -> None:
        self.clips = clips
        self.is_done = False
        self.was_waited_for = False
        self.error: Exception | None = None

    def result(self) -> Several[Clip]:
        self.was_waited_for = not self.is_done
        if self.error is not None:
            raise self.error
        return self.clips


class Beside(ToneDevice):
    """Draws at once and renders beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.renderings: list[Slow] = []
        self.chunks: list[Chunk] = []
        self.steps_drawn = 0

    def draw(self, plan: Plan) -> Job[Mapping[Sequence, tuple[int | None, ...]]]:
        self.steps_drawn += 1
        return super().draw(plan)

    def render(self, chunks: Several[Chunk]) -> Job[Several[Clip]]:
        assert all(each.is_done or each.was_waited_for for each in self.renderings), "one at a time"
        self.chunks += chunks
        self.renderings.append(Slow(super().render(chunks).result()))
        return self.renderings[-1]


class Ear:
    def __init__(self) -> None:
        self.clips: list[Clip] = []
        self.outcome: Outcome | None = None
        self.error: ChatterboxError | None = None

    def deliver(self, rendered: Rendered) -> None:
        self.clips.append(rendered.clip)

    def finish(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def fail(self, error: ChatterboxError) -> None:
        self.error = error


@pytest.fixture
def device() -> Beside:
    return Beside()


@pytest.fixture
def loop(device: Beside) -> StepLoop:
    return StepLoop(device, CONFIG, Entrance(CONFIG))


def speak(loop: StepLoop, text: str = "x" * 60) -> tuple[Sequence, Ear]:
    utterance = Utterance(
        text=text,
        family="tone",
        voice="ada",
        language="en",
        sampling=Sampling(seed=1),
        conditioning=NO_VOICE,
    )
    sequence, ear = Sequence(utterance=utterance, max_tokens=1000), Ear()
    loop.entrance.enter(sequence)
    loop.take(sequence, ear)
    return sequence, ear


def until_rendering(loop: StepLoop, device: Beside) -> Slow:
    known = len(device.renderings)
    for _ in range(100):
        loop.step()
        if len(device.renderings) > known:
            return device.renderings[-1]
    raise AssertionError("nothing was rendered")


def test_tokens_are_drawn_while_audio_is_rendered(loop: StepLoop, device: Beside) -> None:
    sequence, ear = speak(loop)
    rendering = until_rendering(loop, device)
    drawn = device.steps_drawn
    for _ in range(5):
        loop.step()
    assert device.steps_drawn == drawn + 5
    assert not rendering.was_waited_for
    assert (ear.clips, sequence.voiced_count) == ([], 0)

    rendering.is_done = True
    loop.step()
    assert len(ear.clips) == 1
    assert sequence.voiced_count == device.chunks[0].end


def test_with_nothing_left_to_draw_audio_is_waited_for(loop: StepLoop, device: Beside) -> None:
    _, ear = speak(loop)
    while not loop.is_idle:
        loop.step()
    assert ear.outcome is not None
    assert sum(map(len, ear.clips)) == 960 * ear.outcome.token_count
    assert ear.outcome.compute_s >= 0.5 * len(device.renderings), "as the device says it took"
    ends = [chunk.end for chunk in device.chunks]
    assert ends == sorted(set(ends)), "no chunk was rendered twice"
    assert device.renderings[-1].was_waited_for


def test_who_leaves_while_being_rendered_is_gone(loop: StepLoop, device: Beside) -> None:
    sequence, ear = speak(loop)
    rendering = until_rendering(loop, device)
    loop.cancel(sequence)
    assert loop.is_idle
    assert loop.entrance.open_count == 0

    _, other = speak(loop)
    rendering.is_done = True
    while not loop.is_idle:
        loop.step()
    assert ear.clips == []
    assert other.outcome is not None
    assert sum(map(len, other.clips)) == 960 * other.outcome.token_count


def test_a_rendering_that_fails_late_ends_those_who_are_there_and_no_more(
    loop: StepLoop, device: Beside
) -> None:
    speak(loop)
    rendering = until_rendering(loop, device)
    rendering.is_done, rendering.error = True, RuntimeError("out of memory")
    with pytest.raises(RuntimeError, match="out of memory"):
        loop.step()
    loop.fail_all(EngineStopped("the device failed"))
    assert loop.is_idle

    _, ear = speak(loop)
    while not loop.is_idle:
        loop.step()
    assert ear.outcome is not None


def test_what_was_being_rendered_for_those_who_were_ended_is_let_go_of(
    loop: StepLoop, device: Beside
) -> None:
    _, ear = speak(loop)
    rendering = until_rendering(loop, device)
    loop.fail_all(EngineStopped("the device failed"))
    assert ear.error is not None
    rendering.error = AssertionError("nobody asks")
    rendering.is_done = True
    _, other = speak(loop)
    while not loop.is_idle:
        loop.step()
    assert other.outcome is not None
    assert ear.clips == []


def test_a_device_that_does_all_at_once_hides_nothing() -> None:
    loop = StepLoop(ToneDevice(), CONFIG, Entrance(CONFIG))
    speak(loop)
    while not loop.is_idle:
        loop.step()
    assert loop.meter.costs.hidden == 0.0
    assert Done(3).result() == 3
