"""What the VoiceEncoder hears of a clip: trimmed, as mel frames, cut into windows."""

import torch
from torch import Tensor
from torch.nn import functional

_FRAME = 2048  # samples that one loudness is measured over
_HOP = 512
_LEAST_POWER = 1e-10


def at_level(wav: Tensor, dbfs: float) -> Tensor:
    """The samples (n,) brought to a root-mean-square level; silence stays silent."""
    wanted: float = 10.0 ** (dbfs / 20.0)
    return wav * (wanted / wav.square().mean().clamp(min=1e-12).sqrt())


def speech_bounds(wav: Tensor, below_db: float) -> tuple[int, int]:
    """Where the sound of (n,) samples starts and ends, as a slice.

    The ends are cut where frames of 2048 samples, 512 apart, are more than `below_db` quieter
    than the loudest. Agrees with librosa.effects.trim.
    """
    padded = functional.pad(wav, (_FRAME // 2, _FRAME // 2))
    power = padded.unfold(0, _FRAME, _HOP).square().mean(-1).clamp_min(_LEAST_POWER)
    level_db = 10.0 * torch.log10(power) - 10.0 * torch.log10(power.max())
    loud = torch.nonzero(level_db > -below_db)[:, 0]
    return int(loud[0]) * _HOP, min(wav.shape[0], (int(loud[-1]) + 1) * _HOP)


def window_count(frames: int, *, window: int, step: int, min_coverage: float) -> int:
    """How many windows cover `frames`: at least one, the last one filled well enough."""
    count, rest = divmod(max(frames - window + step, 0), step)
    if count == 0 or (rest + window - step) / window >= min_coverage:
        count += 1
    return count


def windows(mel: Tensor, *, window: int, step: int, min_coverage: float) -> Tensor:
    """(frames, bins) -> (count, window, bins), zeros behind the end and the excess left out."""
    count = window_count(mel.shape[0], window=window, step=step, min_coverage=min_coverage)
    length = window + step * (count - 1)
    fitted = functional.pad(mel[:length], (0, 0, 0, max(0, length - mel.shape[0])))
    return fitted.unfold(0, window, step).transpose(1, 2)
