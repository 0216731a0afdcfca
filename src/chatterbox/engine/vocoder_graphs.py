"""VocoderGraphs: the vocoder of S3Gen as recordings of a few shapes, into which every batch is padded."""

from dataclasses import dataclass

import torch
from torch import Tensor

from chatterbox.engine.recording import Forms, Recorder, Work, at_least, rounded
from chatterbox.models.s3gen.vocoder import Heard, Vocoder

_FRAME_STEP = 16  # batches are padded to a multiple of so many frames


@dataclass(frozen=True, slots=True)
class _Shape:
    rows: int
    frames: int


class VocoderGraphs:
    """`Vocoder.sound` by recordings. Used on one thread."""

    def __init__(self, vocoder: Vocoder, recorder: Recorder) -> None:
        self._vocoder = vocoder
        self._forms = Forms[_Shape, _Form](lambda shape: _Form(vocoder, recorder, shape))

    @property
    def form_count(self) -> int:
        """Shapes recorded so far."""
        return len(self._forms)

    @torch.inference_mode()
    def sound(self, heard: Heard) -> tuple[Tensor, Tensor]:
        """As `Vocoder.sound`; a shape's first batch is recorded, which takes a moment."""
        rows, _, frames = heard.mel.shape
        form = self._forms.of(_Shape(at_least(rows), rounded(frames, _FRAME_STEP)))
        return self._vocoder.sound(heard) if form is None else form.run(heard)


class _Form:
    """One shape: the tensors a recording reads and writes, and the recording once there is one."""

    def __init__(self, vocoder: Vocoder, recorder: Recorder, shape: _Shape) -> None:
        self._vocoder, self._recorder = vocoder, recorder
        config = vocoder.config
        self._per_frame = config.samples_per_frame
        device = next(vocoder.parameters()).device

        def zeros(*size: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(shape.rows, *size, dtype=dtype, device=device)

        harmonics, samples = config.overtones + 1, shape.frames * self._per_frame
        self._lengths = zeros(dtype=torch.int64)
        self._heard = Heard(
            mel=zeros(config.mel_bins, shape.frames),
            lengths=self._lengths,
            f0=zeros(shape.frames),
            known=zeros(dtype=torch.int64),
            phases=zeros(harmonics, 1),
            noise=zeros(harmonics, samples),
        )
        self._wav, self._f0 = zeros(samples), zeros(shape.frames)
        self._replay: Work | None = None

    def run(self, heard: Heard) -> tuple[Tensor, Tensor]:
        rows, _, frames = heard.mel.shape
        ours = self._heard
        for mine, given in (
            (ours.mel, heard.mel),
            (ours.f0, heard.f0),
            (ours.known, heard.known),
            (ours.phases, heard.phases),
            (ours.noise, heard.noise),
        ):
            mine.zero_()
            mine[(slice(rows), *map(slice, given.shape[1:]))] = given
        self._lengths.fill_(1)  # a row of no frames would have no end to be reflected at
        self._lengths[:rows] = frames if heard.lengths is None else heard.lengths
        if self._replay is None:
            self._replay = self._recorder.record(self._work)
        else:
            self._replay()
        samples = frames * self._per_frame
        return self._wav[:rows, :samples].clone(), self._f0[:rows, :frames].clone()

    def _work(self) -> None:
        wav, f0 = self._vocoder.sound(self._heard)
        self._wav.copy_(wav)
        self._f0.copy_(f0)
