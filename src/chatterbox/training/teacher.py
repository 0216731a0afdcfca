"""Teacher: hibari's `heart` voice with its durations and pitch, and a male morph of it.

The female voice is the teacher as it is. The male voice is the same audio through the WORLD
vocoder with lower pitch and a longer vocal tract, so both share every duration.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 24_000
FRAME = 300  # samples per teacher frame (12.5 ms); its duration unit is two of these
MAX_PHONEMES = 400
_SILENCE_S = 0.1  # kept before the first and after the last sound
_WORLD_PERIOD_MS = 5.0


@dataclass(frozen=True, slots=True)
class Rendering:
    """One utterance as the teacher says it.

    `samples` float32 at 24 kHz; `f0` in Hz per 12.5 ms frame, 0 where unvoiced; `frames[i]` is the
    number of frames of `phonemes[i]`, where the first and last entries are the silences around.
    """

    samples: NDArray[np.float32]
    f0: NDArray[np.float32]
    frames: list[int]
    phonemes: str


class Teacher:
    """Hibari's ONNX network with the duration node exposed."""

    def __init__(self) -> None:
        import onnx
        import onnxruntime
        from hibari import Hibari, dsp

        self._hibari: Any = Hibari()
        self._dsp: Any = dsp
        model = onnx.load(self._hibari.model_path)
        durations = onnx.helper.make_empty_tensor_value_info("/Clip_output_0")
        model.graph.output.append(durations)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def render(self, phonemes: str, *, seed: int) -> Rendering:
        """Speak a phoneme string; silence around it is cut to about 0.1 s."""
        vocabulary = self._hibari.vocab
        known = "".join(c for c in phonemes if c in vocabulary)[:MAX_PHONEMES]
        ids = [0, *[vocabulary[c] for c in known], 0]
        feeds = {"ids": np.asarray([ids], np.int64), "speed": np.ones(1, np.float32)}
        *parts, durations = self._session.run(None, feeds)
        lh, th, ln, lr, phi, f0 = (part[0] for part in parts)
        samples = self._dsp.synth(lh, th, ln, lr, phi, f0, np.random.default_rng(seed))
        frames = (2 * np.round(durations.reshape(-1))).astype(int).tolist()
        assert sum(frames) == len(f0), "the teacher's duration unit is two frames"
        voiced = np.where(f0 > 40.0, f0, 0.0).astype(np.float32)
        return _trimmed(Rendering(samples.astype(np.float32), voiced, frames, known))


def _trimmed(rendering: Rendering) -> Rendering:
    """Cut the outer silences at whole frames, so that durations stay exact."""
    energy = np.abs(rendering.samples[: len(rendering.f0) * FRAME]).reshape(-1, FRAME).max(axis=1)
    loud = np.flatnonzero(energy > 0.02)
    if not len(loud):
        return rendering
    keep = round(_SILENCE_S * SAMPLE_RATE / FRAME)
    first = max(0, int(loud[0]) - keep)
    last = min(len(energy), int(loud[-1]) + 1 + keep)
    frames = rendering.frames.copy()
    _take(frames, first, from_end=False)
    _take(frames, len(energy) - last, from_end=True)
    return Rendering(
        rendering.samples[first * FRAME : last * FRAME],
        rendering.f0[first:last],
        frames,
        rendering.phonemes,
    )


def _take(frames: list[int], count: int, *, from_end: bool) -> None:
    """Remove `count` frames from one end, in place."""
    order = range(len(frames) - 1, -1, -1) if from_end else range(len(frames))
    for i in order:
        cut = min(frames[i], count)
        frames[i] -= cut
        count -= cut
        if not count:
            return


def morph(
    rendering: Rendering, *, pitch: float, formants: float, pitch_range: float = 1.0
) -> Rendering:
    """The same utterance by another speaker: WORLD with scaled pitch and spectral envelope.

    `formants` < 1 moves the envelope down (a longer vocal tract). `pitch_range` scales log-F0
    around its mean.
    """
    import pyworld

    audio = rendering.samples.astype(np.float64)
    count = int(1000 * len(audio) / SAMPLE_RATE / _WORLD_PERIOD_MS) + 1
    times = np.arange(count) * _WORLD_PERIOD_MS / 1000
    at = np.minimum(np.round(times * SAMPLE_RATE / FRAME).astype(int), len(rendering.f0) - 1)
    f0 = rendering.f0[at].astype(np.float64)
    envelope = pyworld.cheaptrick(audio, f0, times, SAMPLE_RATE)
    aperiodicity = pyworld.d4c(audio, f0, times, SAMPLE_RATE)
    bins = np.arange(envelope.shape[1])
    source = np.minimum(bins / formants, bins[-1])
    low = np.floor(source).astype(int)
    high = np.minimum(low + 1, bins[-1])
    part = source - low
    warped = np.exp(np.log(envelope[:, low]) * (1 - part) + np.log(envelope[:, high]) * part)
    noise = aperiodicity[:, low] * (1 - part) + aperiodicity[:, high] * part
    scaled = _scaled_pitch(f0, pitch, pitch_range)
    parts = [np.ascontiguousarray(part) for part in (scaled, warped, noise)]
    samples = pyworld.synthesize(*parts, SAMPLE_RATE, _WORLD_PERIOD_MS)
    samples = np.resize(samples[: len(audio)], len(audio)).astype(np.float32)
    level = np.sqrt(np.mean(audio**2)) / max(1e-6, float(np.sqrt(np.mean(samples**2))))
    return Rendering(
        np.clip(samples * np.float32(level), -0.99, 0.99),
        _scaled_pitch(rendering.f0.astype(np.float64), pitch, pitch_range).astype(np.float32),
        rendering.frames,
        rendering.phonemes,
    )


def _scaled_pitch(f0: NDArray[Any], pitch: float, pitch_range: float) -> NDArray[Any]:
    voiced = f0 > 0
    if not voiced.any():
        return f0
    centre = np.exp(np.mean(np.log(f0[voiced])))
    scaled = np.zeros_like(f0)
    scaled[voiced] = pitch * centre * (f0[voiced] / centre) ** pitch_range
    return scaled


class Recordings:
    """Utterances of one voice on disk, appended one at a time; a half-written tail is ignored.

    `audio.i16` and `f0.f16` are raw; `index.jsonl` has one line per utterance with offsets.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        index = folder / "index.jsonl"
        lines = index.read_text().splitlines() if index.exists() else []
        self.entries: list[dict[str, Any]] = [
            json.loads(line) for line in lines if line[-1:] == "}"
        ]

    def append(self, key: int, text: str, rendering: Rendering) -> None:
        """Add one utterance."""
        last = (
            self.entries[-1]
            if self.entries
            else {"start": 0, "size": 0, "f0_start": 0, "f0_size": 0}
        )
        entry: dict[str, Any] = {
            "id": key,
            "text": text,
            "phonemes": rendering.phonemes,
            "frames": rendering.frames,
            "start": last["start"] + last["size"],
            "size": len(rendering.samples),
            "f0_start": last["f0_start"] + last["f0_size"],
            "f0_size": len(rendering.f0),
        }
        pcm = np.round(np.clip(rendering.samples, -1, 1) * 32767).astype(np.int16)
        _write_at(self.folder / "audio.i16", 2 * entry["start"], pcm.tobytes())
        _write_at(
            self.folder / "f0.f16", 2 * entry["f0_start"], rendering.f0.astype(np.float16).tobytes()
        )
        with (self.folder / "index.jsonl").open("a") as index:
            index.write(json.dumps(entry) + "\n")
        self.entries.append(entry)

    def load(self, i: int) -> Rendering:
        """Utterance `i`, by position."""
        entry = self.entries[i]
        pcm = np.fromfile(
            self.folder / "audio.i16", np.int16, entry["size"], offset=2 * entry["start"]
        )
        f0 = np.fromfile(
            self.folder / "f0.f16", np.float16, entry["f0_size"], offset=2 * entry["f0_start"]
        )
        samples: NDArray[np.float32] = pcm.astype(np.float32) / np.float32(32767)
        return Rendering(samples, f0.astype(np.float32), entry["frames"], entry["phonemes"])


def _write_at(path: Path, offset: int, payload: bytes) -> None:
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.seek(offset)
        file.write(payload)
