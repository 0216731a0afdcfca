"""FlowGraphs: the flow of S3Gen as recordings of a few shapes, into which every batch is padded."""

from dataclasses import dataclass

import torch
from torch import Tensor

from chatterbox.engine.recording import Forms, Recorder, Work, at_least, rounded
from chatterbox.models.s3gen.flow import Flow, FlowMemory, News
from chatterbox.models.s3gen.memory import Extent

_TOKEN_STEP = 16  # chunks are padded to a multiple of so many tokens
_PROMPT_STEP = 64  # and what was heard of voices to a multiple of so many


@dataclass(frozen=True, slots=True)
class _Shape:
    rows: int
    tokens: int
    prompt: int


class FlowGraphs:
    """`Flow.extend` by recordings. Used on one thread."""

    def __init__(self, flow: Flow, recorder: Recorder, *, window: int) -> None:
        """`window` is the streams' (`StreamSettings.window_tokens`)."""
        self._flow = flow
        self._window = window
        self._forms = Forms[_Shape, _Form](lambda shape: _Form(flow, recorder, shape, window))

    @property
    def form_count(self) -> int:
        """Shapes recorded so far."""
        return len(self._forms)

    @torch.inference_mode()
    def extend(
        self, news: News, memory: FlowMemory, prompt: FlowMemory
    ) -> tuple[Tensor, FlowMemory]:
        """As `Flow.extend`; a shape's first batch is recorded, which takes a moment."""
        if memory.low.window != self._window:
            return self._flow.extend(news, memory, prompt)  # a prompt being heard
        rows, tokens = news.tokens.shape
        shape = _Shape(
            rows=at_least(rows),
            tokens=rounded(tokens, _TOKEN_STEP),
            prompt=rounded(prompt.low.window, _PROMPT_STEP),
        )
        form = self._forms.of(shape)
        if form is None:
            return self._flow.extend(news, memory, prompt)
        return form.run(news, memory, prompt)


class _Form:
    """One shape: the tensors a recording reads and writes, and the recording once there is one."""

    def __init__(self, flow: Flow, recorder: Recorder, shape: _Shape, window: int) -> None:
        self._flow, self._recorder = flow, recorder
        like = flow.encoder_proj.weight
        bins, frames = flow.config.mel_bins, 2 * shape.tokens

        def zeros(*size: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(shape.rows, *size, dtype=dtype, device=like.device)

        def counts() -> Tensor:
            return zeros(dtype=torch.int64)

        self._news = News(
            tokens=zeros(shape.tokens, dtype=torch.int64),
            x_vector=zeros(flow.config.x_vector),
            condition=zeros(bins, frames),
            noise=zeros(bins, frames),
            extent=Extent(
                prompt=counts(), past=counts(), new=counts(), kept=counts(), even_kept=None
            ),
            seen=window,
        )
        self._memory = flow.blank_memory(window).repeated(shape.rows)
        self._prompt = flow.blank_memory(shape.prompt).repeated(shape.rows)
        self._after = flow.blank_memory(window).repeated(shape.rows)
        self._mel = zeros(bins, frames)
        self._replay: Work | None = None

    def run(self, news: News, memory: FlowMemory, prompt: FlowMemory) -> tuple[Tensor, FlowMemory]:
        rows, tokens = news.tokens.shape
        self._fill(news)
        for ours, theirs in zip(self._memory.parts, memory.parts, strict=True):
            ours.keys_values[:, :, :rows] = theirs.keys_values
            ours.tails[:rows] = theirs.tails
        for ours, theirs in zip(self._prompt.parts, prompt.parts, strict=True):
            start = ours.window - theirs.window
            ours.keys_values[:, :, :rows, ..., start:, :] = theirs.keys_values
        if self._replay is None:
            self._replay = self._recorder.record(self._work)
        else:
            self._replay()
        return self._mel[:rows, :, : 2 * tokens].clone(), self._after.copied(rows)

    def _fill(self, news: News) -> None:
        rows = news.tokens.shape[0]
        ours = self._news
        for mine, given in (
            (ours.tokens, news.tokens),
            (ours.x_vector, news.x_vector),
            (ours.condition, news.condition),
            (ours.noise, news.noise),
        ):
            if mine is not None and given is not None:
                mine.zero_()
                mine[:rows, ..., : given.shape[-1]] = given
        for name in ("prompt", "past", "new", "kept"):
            mine = getattr(ours.extent, name)
            mine.zero_()
            mine[:rows] = getattr(news.extent, name)
        ours.extent.new[rows:] = 1  # a row without keys would have no attention to normalise

    def _work(self) -> None:
        mel, after = self._flow.extend(self._news, self._memory, self._prompt)
        self._mel.copy_(mel)
        for ours, theirs in zip(self._after.parts, after.parts, strict=True):
            ours.keys_values.copy_(theirs.keys_values)
            ours.tails.copy_(theirs.tails)
