"""Verdicts: what a device should reach, held against what was measured."""

from collections.abc import Iterator, Mapping

from chatterbox.benchmark.report import Figure, Verdict

# The fastest that others say of their own on one GPU (docs/performance.md names them).
_PUBLISHED_STEPS_PER_S = {"english": 140.0, "multilingual": 140.0, "turbo": 667.0}
_PUBLISHED_AUDIO_S_PER_S = {"english": 32.0, "multilingual": 32.0}
_FIRST_AUDIO_S = 0.1
_MEMORY_SHARE = 0.9


def verdicts(family_id: str, device: str, figures: Mapping[str, Figure]) -> Iterator[Verdict]:
    """What can be said of these figures; `device` is "cpu" or a GPU's name."""
    yield from _on_any_device(figures)
    if device != "cpu":
        yield from _on_a_gpu(family_id, figures)


def _on_any_device(figures: Mapping[str, Figure]) -> Iterator[Verdict]:
    if "differing_tokens" in figures:
        count = figures["differing_tokens"].high
        yield Verdict(f"{count:g} tokens differ between captured and plain steps", count == 0)
    if "rtf" in figures:
        rtf = figures["rtf"].median
        yield Verdict(f"one stream at {rtf:.2f} of real time", rtf < 1)
    if "streams_in_real_time" in figures:
        streams = figures["streams_in_real_time"].median
        yield Verdict(f"{streams:g} streams at once without a gap", streams >= 1)


def _on_a_gpu(family_id: str, figures: Mapping[str, Figure]) -> Iterator[Verdict]:
    for name, published, what in (
        ("steps_per_s", _PUBLISHED_STEPS_PER_S, "T3 steps a second for one stream"),
        ("audio_s_per_s", _PUBLISHED_AUDIO_S_PER_S, "audio seconds a second, all streams"),
    ):
        if name in figures and family_id in published:
            reached, bar = figures[name].median, published[family_id]
            yield Verdict(f"{reached:.0f} {what}; others say {bar:g}", reached > bar)
    if "ttfa_s" in figures:
        first_s = figures["ttfa_s"].median
        yield Verdict(f"first audio after {1000 * first_s:.0f} ms", first_s <= _FIRST_AUDIO_S)
    if {"peak_device_mb", "device_memory_mb"} <= figures.keys():
        peak, whole = figures["peak_device_mb"].high, figures["device_memory_mb"].median
        yield Verdict(f"{peak:.0f} of {whole:.0f} MB at most", peak <= _MEMORY_SHARE * whole)
