"""Each kind of measurement, on tiny and as small as possible, gives figures that can be true."""

from typing import Any

import pytest

from chatterbox.benchmark.calls import random_call
from chatterbox.benchmark.conditions import Conditions
from chatterbox.benchmark.measure import measure
from chatterbox.benchmark.report import HEADLINES, Figure, Report
from chatterbox.benchmark.subject import open_subject
from chatterbox.benchmark.t3 import Choir, bytes_per_step, choir_config
from chatterbox.models.precision import Precision

SMALL: dict[str, Any] = {"seconds": 0.6, "repeats": 2, "threads": 1}


def figures_of(report: Report) -> dict[str, Figure]:
    told = report.as_json()
    assert set(HEADLINES) <= set(told)
    assert told["peak_rss_mb"] > 10
    assert 0 <= told["figures"]["cpu_taken_by_others"]["median"] <= 1
    return dict(report.by_name)


@pytest.mark.parametrize("random_weights", [False, True])
def test_t3(*, random_weights: bool) -> None:
    asked = Conditions(what="t3", streams=2, random_weights=random_weights, **SMALL)
    figures = figures_of(measure(asked))
    assert figures["tokens_per_s"].low > 0
    assert len(figures["tokens_per_s"].values) == 2
    assert figures["tokens_per_s"].median == pytest.approx(2 * figures["steps_per_s"].median)
    assert figures["prefix_positions"].median > 2 * 2  # two guided streams have four rows
    assert 0 < figures["share_of_limit"].high < 1  # nothing reads faster than memory
    # tiny: 3.7 M parameters of the backbone and the head in fp32, as its shapes say
    assert 14 < figures["weights_read_per_step_mb"].median < 16


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_keys_and_values_are_counted_as_they_are_kept(precision: Precision) -> None:
    with open_subject(Conditions(what="t3", precision=precision, threads=1)) as subject:
        config = subject.family.t3
        _, each = bytes_per_step(subject, 1)
        cache = Choir(subject, choir_config(streams=1, tokens=9, threads=1))._runner._cache
    assert each == 2 * config.layers * config.dim * cache.keys.element_size()


def test_s3gen() -> None:
    asked = Conditions(what="s3gen", streams=2, late_s=20.0, **SMALL)
    figures = figures_of(measure(asked))
    for name in ("whole_flow_s", "whole_vocoder_s", "first_chunk_s", "rtf", "late_over_early"):
        assert figures[name].low > 0
    for factor, speed in zip(figures["rtf"].values, figures["audio_s_per_s"].values, strict=True):
        assert factor == pytest.approx(2 / speed)  # each of two streams waits for both
    assert figures["chunks"].median == 2  # 9 tokens, and the 6 that are left
    assert len(figures["late_chunk_s"].values) == len(figures["early_chunk_s"].values) == 4
    assert figures["vocoder_gflop"].median > figures["flow_gflop"].median > 0


@pytest.mark.parametrize("random_weights", [False, True])
def test_stream(*, random_weights: bool) -> None:
    asked = Conditions(what="stream", streams=2, random_weights=random_weights, **SMALL)
    figures = figures_of(measure(asked))
    assert figures["audio_s"].values == (0.6,) * 4  # exactly what was asked for
    assert 0 < figures["ttfa_s"].high <= max(figures["rtf"].values) * 0.6
    rates = figures["tokens_per_s"].median / figures["audio_s_per_s"].median
    assert rates == pytest.approx(25)


def test_load() -> None:
    asked = Conditions(what="load", streams=2, seconds=3.0, offered=0.5, threads=1)
    figures = figures_of(measure(asked))
    assert figures["capacity_audio_s_per_s"].median > 0
    assert figures["calls"].median >= 0
    assert figures["rss_mb"].low > 10


def test_load_of_a_number_of_utterances() -> None:
    figures = figures_of(measure(Conditions(what="load", streams=2, utterances=3, threads=1)))
    assert figures["calls"].median == 3
    assert figures["refused"].median == 0
    assert figures["ttfa_s"].low > 0
    assert "rss_growth_mb" in figures
    assert "capacity_audio_s_per_s" not in figures


def test_a_device_gets_its_verdicts() -> None:
    report = measure(Conditions(what="device", streams=2, **SMALL))
    figures = figures_of(report)
    assert figures["steps_per_s"].low > 0
    assert figures["tokens_per_s_of_2"].low > 0
    assert figures["differing_tokens"].median == 0
    assert figures["streams_in_real_time"].median >= 0
    assert {verdict.says for verdict in report.verdicts} == set(report.as_json()["verdicts"])
    assert len(report.verdicts) >= 2


@pytest.mark.gpu
def test_a_gpu_gets_its_verdicts() -> None:
    report = measure(Conditions(what="device", device="cuda", streams=2, **SMALL))
    figures = figures_of(report)
    assert 0 < figures["peak_device_mb"].median < figures["device_memory_mb"].median
    assert figures["differing_tokens"].median == 0
    assert report.machine.device != "cpu"


def test_the_progress_adds_up_to_the_whole() -> None:
    shares: list[float] = []
    measure(Conditions(what="stream", **SMALL), shares.append)
    assert sum(shares) == pytest.approx(1.0)


def test_calls_are_mixed_but_always_the_same() -> None:
    with open_subject(Conditions(what="load")) as subject:
        calls = [random_call(subject, number) for number in range(60)]
        assert calls == [random_call(subject, number) for number in range(60)]
    assert {call.config.voice for call in calls} == {"ada", "ben"}
    assert len({call.config.sampling.cfg_weight for call in calls}) > 2
    assert len({call.config.sampling.seed for call in calls}) == 60
    assert 0 < sum(call.clips is not None for call in calls) < 20


def test_made_up_voices_have_the_prompt_asked_for() -> None:
    asked = Conditions(what="t3", random_weights=True, prompt_s=3.0)
    with open_subject(asked) as subject:
        voice = subject.voice(0)
        assert voice.s3gen.prompt_tokens.shape == (1, 75)
        assert voice.s3gen.prompt_mel.shape[1] == 150
        folder = subject.library._shelves[0].store._root
    assert not folder.exists()
