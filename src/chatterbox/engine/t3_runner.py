"""T3Runner: draws speech tokens for every sequence in a slot, one step at a time.

A sequence's tokens depend on its text, voice, settings and seed alone: rows share nothing, and
random numbers are counted by (seed, position), not taken from a common stream.
"""

from collections.abc import Callable
from collections.abc import Sequence as Several
from dataclasses import dataclass

import torch
from torch import Tensor

from chatterbox.engine.batch import Batch, Slots, Speaker
from chatterbox.engine.config import EngineConfig
from chatterbox.engine.gaze import Gaze
from chatterbox.engine.graphs import EagerSteps, GraphSteps, StepRunner
from chatterbox.engine.prefix import Prefix, VoiceMemory, voice_key
from chatterbox.engine.recording import CudaRecorder, Recorder
from chatterbox.engine.step import DecodeStep, speakable
from chatterbox.models.bundle import Models
from chatterbox.models.conditioning import T3Conditioning
from chatterbox.models.kernels.attention import cache_dtype
from chatterbox.models.t3.cache import KVCache, Reading
from chatterbox.models.t3.config import CONDITIONING_ROOM
from chatterbox.models.transfer import integers, to_host, wait
from chatterbox.speech import Sampling

Tokens = tuple[int | None, ...]  # None, always last, for an end


def kept_dtype(models: Models) -> torch.dtype:
    """The type of keys and values: that of the weights, or a shorter one where a kernel reads it."""
    weights = models.t3.speech_embedding.weight.dtype
    if models.device.type == "cpu" and weights == torch.float32:
        return cache_dtype(models.t3.config.head_dim, models.precision)
    return weights


@dataclass(slots=True)
class _Unread:
    """A newcomer's reading."""

    prefix: Prefix
    key: bytes  # of its voice
    spoken: tuple[int, ...]  # tokens drawn elsewhere, the end of the prefix
    asked: int = 0  # positions that could have been read
    scores: Tensor | None = None  # (rows, vocabulary) after the position read last


class T3Runner:
    """T3 of one family, with a cache for `config.slots` sequences. Used on one thread."""

    def __init__(
        self,
        models: Models,
        config: EngineConfig,
        *,
        recorder: Recorder | None = None,
        voice_memory_bytes: int = 1 << 30,
    ) -> None:
        """Steps are recorded on a GPU, and on a CPU where it is told how."""
        t3 = models.t3.config
        self._models = models
        self._config = t3
        prompt = t3.prompt_tokens if t3.perceiver_queries is None else 0
        self.max_text_tokens = config.max_text_tokens
        if t3.text_positions is not None:
            self.max_text_tokens = min(config.max_text_tokens, t3.text_positions - 2)
        self.max_speech_tokens = config.max_speech_tokens
        if t3.speech_positions is not None:
            self.max_speech_tokens = min(config.max_speech_tokens, t3.speech_positions - 1)
        length = CONDITIONING_ROOM + prompt + self.max_text_tokens + 2 + config.max_speech_tokens
        self._slots = Slots(
            config.slots,
            vocabulary=speakable(t3.speech_codes, t3.stop_speech),
            start=t3.start_speech,
            rows_each=2 if t3.guidance else 1,
            penalty_last=models.family.penalty_last,
            device=models.device,
        )
        self._cache = KVCache(
            t3,
            rows=config.slots * self._slots.rows_each,
            max_length=min(length, t3.max_positions),
            device=models.device,
            dtype=kept_dtype(models),
        )
        if recorder is None and models.device.type == "cuda":
            recorder = CudaRecorder()
        self._gaze: Gaze | None = None
        if models.family.alignment_heads:
            self._gaze = Gaze(
                models.family.alignment_heads,
                self._cache,
                self._slots,
                most_tokens=self.max_speech_tokens,
            )
        self._step = DecodeStep(
            models.t3, self._cache, self._slots, recorded=recorder is not None, gaze=self._gaze
        )
        self._steps: StepRunner = EagerSteps(self._step)
        if recorder is not None:
            self._steps = GraphSteps(self._step, recorder, most_steps=config.steps_per_sync)
        self._occupants: dict[int, Speaker] = {}  # by slot, the latest
        self._unread: dict[Speaker, _Unread] = {}  # until the first token is drawn
        self._voices = VoiceMemory(voice_memory_bytes)

    def prepare(self) -> None:
        """Do now what would delay the first listeners; nobody may be speaking."""
        self._steps.prepare()

    def speaker(
        self, slot: int, sampling: Sampling, *, least_tokens: int, timed: bool = False
    ) -> Speaker:
        """A new occupant of a slot; `sampling` is settled. Of a `timed` one `looks` can tell."""
        return Speaker(
            slot=slot,
            sampling=sampling,
            guided=self._config.guidance and bool(sampling.cfg_weight),
            least_tokens=least_tokens,
            timed=timed and self._gaze is not None,
        )

    @torch.inference_mode()
    def begin(
        self,
        speaker: Speaker,
        text_ids: Several[int],
        conditioning: T3Conditioning,
        spoken: Several[int] = (),
    ) -> int:
        """Embed text and voice; returns how many positions there are to read.

        A voice that is remembered need not be read again. After `spoken`, tokens drawn earlier
        or elsewhere, drawing goes on as if it had never been interrupted.
        """
        t3 = self._models.t3
        text = integers(text_ids, self._models.device)[None]
        script = t3.embed_script(text, guided=speaker.guided)
        if spoken:
            script = torch.cat([script, self._embed(spoken).expand(len(script), -1, -1)], dim=1)
        key = voice_key(conditioning)
        known = self._voices.recall(key)
        self._occupants[speaker.slot] = speaker
        self._slots.occupy(speaker)
        if known is None:
            heard = t3.embed_conditioning(conditioning.to(self._models.device))
            prefix = Prefix(heard, script)
        else:
            self._cache.write(self._rows(speaker), known)
            self._advance(speaker, known.shape[-2])
            prefix = Prefix(None, script, known=speaker.length)
        end = speaker.length + prefix.position_count - len(spoken) - t3.config.start_repeats
        speaker.text = slice(end - t3.frame_text(text).shape[1], end)
        positions = speaker.length + prefix.position_count - len(spoken)
        assert positions + self.max_speech_tokens <= self._cache.max_length + 1
        self._unread[speaker] = _Unread(prefix, key, tuple(spoken))
        return prefix.position_count

    def _embed(self, spoken: Several[int]) -> Tensor:
        """(1, n, dim): the start token's place is 0, the first that was drawn is at 1."""
        tokens = integers(spoken, self._models.device)
        places = torch.arange(1, len(spoken) + 1, device=tokens.device)
        return self._models.t3.embed_speech_run(tokens[None], places[None])

    @torch.inference_mode()
    def read(self, speaker: Speaker, start: int, stop: int) -> None:
        """Let positions `start` to `stop` be read; spans come in order, without gaps.

        Whole pieces are read: one that reaches past `stop` waits for the next span.
        """
        unread = self._unread[speaker]
        assert start == unread.asked < stop <= unread.prefix.position_count
        unread.asked = stop
        rows = self._rows(speaker)
        for piece in unread.prefix.due(stop):
            read = slice(rows.start, rows.start + piece.embeds.shape[0])
            positions = torch.arange(piece.start, piece.stop, device=piece.embeds.device)
            memory = Reading(self._cache, read, slice(piece.start, piece.stop))
            unread.scores = self._models.t3(
                piece.embeds, positions.expand(piece.embeds.shape[0], -1), memory
            )
            if piece.ends_voice:
                voice = self._cache.copy(rows.start, piece.stop)
                self._voices.keep(unread.key, voice)
                self._cache.write(rows, voice)
            self._advance(speaker, piece.stop)

    @torch.inference_mode()
    def launch_first(self, speaker: Speaker) -> Callable[[], int | None]:
        """Launch the first token behind the prefix, all of which was read; see `launch`."""
        unread = self._unread.pop(speaker)
        assert unread.prefix.is_read
        assert unread.scores is not None
        if unread.spoken:
            self._slots.resume(speaker, unread.spoken)
        self._slots.live[speaker.slot] = True
        batch = Batch.of([speaker], self._slots, self._cache)
        speaker.drawn = len(unread.spoken) + 1
        told = to_host(self._step.draw(batch, unread.scores))

        def first() -> int | None:
            token = int(told)
            return None if token == self._config.stop_speech else token

        return first

    def first(self, speaker: Speaker) -> int | None:
        """`launch_first`, and wait for it."""
        first = self.launch_first(speaker)
        wait(self._models.device)
        return first()

    def prefill(
        self, speaker: Speaker, text_ids: Several[int], conditioning: T3Conditioning
    ) -> int | None:
        """Begin, read everything at once, and draw the first token."""
        self.read(speaker, 0, self.begin(speaker, text_ids, conditioning))
        return self.first(speaker)

    def decode(self, speakers: Several[Speaker], steps: int = 1) -> list[Tokens]:
        """`launch`, and wait for it."""
        tokens = self.launch(speakers, steps)
        wait(self._models.device)
        return tokens()

    @torch.inference_mode()
    def launch(self, speakers: Several[Speaker], steps: int = 1) -> Callable[[], list[Tokens]]:
        """Launch up to `steps` more tokens of each speaker, in their order.

        All must have their first token and not have ended. What is returned tells the tokens
        and moves the speakers on; it is to be called once the device is done, before anything
        else is asked of these speakers. The host looks at nothing before.
        """
        room = self.max_speech_tokens - max(speaker.drawn for speaker in speakers)
        assert room > 0, "a speaker has no room for another token"
        ordered = sorted(speakers, key=lambda speaker: speaker.slot)
        columns = self._steps.run(ordered, min(steps, room))

        def tokens() -> list[Tokens]:
            drawn = dict(zip(ordered, map(self._until_end, columns()), strict=True))
            for speaker, own in drawn.items():
                speaker.length += len(own)
                speaker.drawn += len(own)
            return [drawn[speaker] for speaker in speakers]

        return tokens

    @torch.inference_mode()
    def looks(self, speaker: Speaker, start: int) -> Tensor:
        """Where a timed speaker looked in its text for the tokens drawn from `start` on.

        (n, places), as `Gaze.rows`; to be asked before anybody else gets the slot.
        """
        assert self._gaze is not None, "only such families have timed speakers"
        return self._gaze.rows(speaker, start, speaker.drawn)

    def forget(self, speaker: Speaker) -> None:
        """Let go of a speaker, whatever it was doing."""
        self._unread.pop(speaker, None)
        if self._occupants.get(speaker.slot) is speaker:
            del self._occupants[speaker.slot]
            self._slots.live[speaker.slot] = False

    def _until_end(self, column: list[int]) -> Tokens:
        stop = self._config.stop_speech
        if stop in column:
            return (*column[: column.index(stop)], None)
        return tuple(column)

    def _rows(self, speaker: Speaker) -> slice:
        first = speaker.slot * self._slots.rows_each
        return slice(first, first + (2 if speaker.guided else 1))

    def _advance(self, speaker: Speaker, length: int) -> None:
        speaker.length = length
        # A recorded step writes to every slot's next position: there we shall write again.
        self._slots.lengths[speaker.slot] = length
