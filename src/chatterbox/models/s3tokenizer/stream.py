"""Streaming tokens: those of a stretch, heard in what lies around it.

The encoder hears all of a clip at once, so a token depends a little on how much is heard. How much
it does is measured in `tests/equivalence/test_streamed_equals_whole_tokens.py`.
"""

import torch
from torch import Tensor

from chatterbox.audio.stretches import FRAMES_PER_TOKEN, MARGIN_FRAMES, Stretch
from chatterbox.models.s3tokenizer.model import S3Tokenizer

_FLOOR = 2.0  # 80 dB as the log mel counts
_LEVEL_FRAME = 320  # samples, 20 ms
_SPEECH_DB = 20.0  # below the loudest; softer is no speech
_MAX_GAIN_DB = 30.0  # or silence would become noise


class TokenStream:
    """The tokens of one source, stretch by stretch."""

    def __init__(self, tokenizer: S3Tokenizer, *, level_dbfs: float | None = None) -> None:
        """`level_dbfs` is how loud speech must be to be understood; None: it does not matter."""
        self._tokenizer = tokenizer
        self._level_dbfs = level_dbfs
        self._loudest = float("-inf")  # so far, for silence lies below the loudest of all

    @torch.inference_mode()
    def tokens(self, stretch: Stretch) -> Tensor:
        """(end - start,) of the next stretch, on the device of the model."""
        device = self._tokenizer.window.device
        wav = torch.from_numpy(stretch.samples).to(device)
        if self._level_dbfs is not None:
            wav = wav * level_gain(wav, self._level_dbfs)
        log_mel = self._tokenizer.log_mel(wav[None])
        if stretch.heard_from > 0:
            log_mel = log_mel[..., MARGIN_FRAMES:]
        if not stretch.is_last:
            frames = FRAMES_PER_TOKEN * (stretch.heard_to - stretch.heard_from)
            log_mel = log_mel[..., :frames]
        self._loudest = max(self._loudest, float(log_mel.max()))
        log_mel = log_mel.clamp(min=self._loudest - _FLOOR)
        lengths = torch.tensor([log_mel.shape[-1]], device=device)
        tokens: Tensor = self._tokenizer(log_mel, lengths)[0][0]
        return tokens[stretch.start - stretch.heard_from : stretch.end - stretch.heard_from]


def level_gain(wav: Tensor, level_dbfs: float) -> float:
    """What brings the speech in (n,) samples to that level."""
    frames = wav[: len(wav) // _LEVEL_FRAME * _LEVEL_FRAME].view(-1, _LEVEL_FRAME)
    level_db = 10 * frames.square().mean(dim=1).clamp(min=1e-12).log10()
    speech = level_db[level_db > level_db.max() - _SPEECH_DB]
    spoken_dbfs = 10 * float((10 ** (speech / 10)).mean().log10())
    return float(10 ** (min(level_dbfs - spoken_dbfs, _MAX_GAIN_DB) / 20))
