"""What is learned of the device's costs, and what follows for how many streams it carries."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatterbox.engine.capacity import BatchCost, CapacityMeter, Costs

BOUNDS = {"slots": 16, "render_batch": 4}


def step_s(sequences: int) -> float:
    return 0.010 + 0.002 * sequences


def render_s(chunks: int, tokens: int) -> float:
    return (0.05 + 0.002 * tokens) * (0.5 + 0.5 * chunks)


def serve(
    meter: CapacityMeter, sequences: int, *, rounds: int = 200, slowness: float = 1.0
) -> None:
    """Feed the meter what a device of these costs would have taken."""
    chunks = min(sequences, 4)
    for _ in range(rounds):
        meter.drew(sequences=sequences, steps=1, positions=0, seconds=slowness * step_s(sequences))
    for _ in range(rounds):
        for tokens in (9, 50):
            meter.rendered(
                chunks=chunks,
                tokens=tokens,
                audio_s=chunks * tokens / 25,
                seconds=slowness * render_s(chunks, tokens),
            )


def test_nothing_is_known_before_the_first_measurement() -> None:
    assert CapacityMeter().costs.stream_limit(0.9, **BOUNDS) is None


def test_costs_of_sizes_never_seen_follow_from_those_that_were() -> None:
    meter = CapacityMeter()
    serve(meter, 1)
    serve(meter, 8)
    assert meter.costs.step.seconds(4) == pytest.approx(step_s(4), rel=0.02)
    assert meter.costs.render_s(2, 30) == pytest.approx(render_s(2, 30), rel=0.1)


def test_while_only_one_stream_was_seen_more_are_expected_to_cost_in_proportion() -> None:
    meter = CapacityMeter()
    serve(meter, 1)
    assert meter.costs.step.seconds(8) == pytest.approx(8 * step_s(1), rel=0.02)


def test_how_the_cost_grows_is_not_forgotten_while_one_stream_runs_for_long() -> None:
    meter = CapacityMeter()
    serve(meter, 8)
    serve(meter, 1, rounds=2_000)
    assert meter.costs.step.seconds(8) == pytest.approx(step_s(8), rel=0.1)


def test_a_machine_that_slows_down_is_believed_at_every_size() -> None:
    meter = CapacityMeter()
    serve(meter, 8)
    serve(meter, 1)
    serve(meter, 1, slowness=3.0)
    assert meter.costs.step.seconds(1) == pytest.approx(3 * step_s(1), rel=0.05)
    assert meter.costs.step.seconds(8) == pytest.approx(3 * step_s(8), rel=0.15)


def test_one_hiccup_changes_little() -> None:
    meter = CapacityMeter()
    serve(meter, 4)
    before_s = meter.costs.step.seconds(4)
    meter.drew(sequences=4, steps=1, positions=0, seconds=100.0)
    assert meter.costs.step.seconds(4) < 1.2 * before_s


def test_noise_does_not_hide_the_costs() -> None:
    rng, meter = random.Random(0), CapacityMeter()
    for _ in range(2_000):
        sequences = rng.randint(1, 8)
        noise = rng.uniform(0.8, 1.2)
        meter.drew(sequences=sequences, steps=4, positions=0, seconds=4 * noise * step_s(sequences))
    for sequences in (1, 4, 8):
        assert meter.costs.step.seconds(sequences) == pytest.approx(step_s(sequences), rel=0.2)


def test_the_limit_is_where_real_time_ends() -> None:
    meter = CapacityMeter()
    serve(meter, 1)
    serve(meter, 8)

    def truth(streams: int) -> float:
        chunks = min(streams, 4)
        rendering = sum(render_s(chunks, tokens) for tokens in (9, 50)) / (chunks * 59 / 25)
        return 25 * step_s(streams) + streams * rendering

    limit = meter.costs.stream_limit(0.9, **BOUNDS)
    assert limit is not None
    assert truth(limit) <= 0.95
    assert truth(limit + 1) > 0.85


def test_reading_counts_as_a_cost_of_the_audio_it_leads_to() -> None:
    with_long_prompts, without = CapacityMeter(), CapacityMeter()
    for meter, positions in ((with_long_prompts, 400), (without, 0)):
        for _ in range(50):
            if positions:
                meter.drew(sequences=0, steps=1, positions=positions, seconds=0.4)
            meter.drew(sequences=2, steps=1, positions=0, seconds=0.01)
            meter.rendered(chunks=1, tokens=50, audio_s=2.0, seconds=0.2)
    assert with_long_prompts.costs.position_s == pytest.approx(0.001, rel=0.01)
    assert with_long_prompts.costs.rest_per_s == pytest.approx(0.2, rel=0.1)
    assert without.costs.rest_per_s == 0.0


def test_a_turn_that_also_reads_is_split_between_both() -> None:
    meter = CapacityMeter()
    for _ in range(50):
        meter.drew(sequences=2, steps=1, positions=0, seconds=0.01)
    for _ in range(200):
        meter.drew(sequences=2, steps=1, positions=100, seconds=0.06)
    assert meter.costs.position_s == pytest.approx(0.0005, rel=0.05)
    assert meter.costs.step.seconds(2) == pytest.approx(0.01, rel=0.05)


def test_beyond_the_slots_every_stream_costs_the_same() -> None:
    costs = Costs(step=BatchCost(0.0004, 0.1), render_per_s=0.001)
    limit = costs.stream_limit(0.9, **BOUNDS)
    assert limit is not None
    assert limit > BOUNDS["slots"]
    assert costs.utilisation(limit, **BOUNDS) <= 0.9 < costs.utilisation(limit + 1, **BOUNDS)


@given(
    one_s=st.floats(1e-5, 1.0),
    share=st.none() | st.floats(0.0, 1.0),
    render=st.floats(1e-4, 5.0),
    rest=st.floats(0.0, 1.0),
)
def test_each_further_stream_keeps_the_device_busier(
    one_s: float, share: float | None, render: float, rest: float
) -> None:
    costs = Costs(
        step=BatchCost(one_s, share),
        render_per_s=render,
        rest_per_s=rest,
        batch=BatchCost(1, share),
    )
    used = [costs.utilisation(streams, **BOUNDS) for streams in range(1, 40)]
    assert all(more >= less * (1 - 1e-9) for less, more in itertools.pairwise(used))
    limit = costs.stream_limit(0.9, **BOUNDS)
    assert limit is not None
    assert limit == 0 or costs.utilisation(limit, **BOUNDS) <= 0.9 + 1e-9


def test_a_device_that_renders_while_it_draws_carries_more() -> None:
    serial, beside = CapacityMeter(), CapacityMeter()
    for meter, hidden_s in ((serial, 0.0), (beside, 0.8)):
        for _ in range(100):
            for _ in range(50):
                meter.drew(sequences=4, steps=1, positions=0, seconds=step_s(4))
            meter.rendered(
                chunks=4,
                tokens=50,
                audio_s=8.0,
                seconds=render_s(4, 50),
                hidden_s=hidden_s * render_s(4, 50),
            )
    draw_s, whole_s = 50 * step_s(4), 50 * step_s(4) + render_s(4, 50)
    share = (whole_s - 0.8 * render_s(4, 50)) / whole_s
    assert 0.5 < share < 1
    assert draw_s > render_s(4, 50)
    assert serial.costs.hidden == 0.0
    for streams in (1, 4, 9):
        once = serial.costs.utilisation(streams, **BOUNDS)
        assert beside.costs.utilisation(streams, **BOUNDS) == pytest.approx(share * once, rel=0.02)
    limits = [meter.costs.stream_limit(0.9, **BOUNDS) for meter in (serial, beside)]
    assert limits[0] is not None
    assert limits[1] is not None
    assert limits[1] > limits[0]


def test_what_was_waited_for_longer_than_it_took_hides_nothing() -> None:
    meter = CapacityMeter()
    meter.drew(sequences=1, steps=1, positions=0, seconds=0.01)
    meter.rendered(chunks=1, tokens=50, audio_s=2.0, seconds=0.1, hidden_s=-0.05)
    assert meter.costs.hidden == 0.0
