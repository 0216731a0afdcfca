"""Our side of the comparison: the pieces of `chatterbox bench`, one at a time."""

import asyncio
import statistics
from pathlib import Path
from typing import Any

import torch
from worker_protocol import serve

from chatterbox.benchmark.conditions import Conditions
from chatterbox.benchmark.machine import read_bandwidth_gb_s
from chatterbox.benchmark.s3gen import KnownVoice, render_whole
from chatterbox.benchmark.stream import listen_together, stream_config
from chatterbox.benchmark.subject import Subject
from chatterbox.benchmark.t3 import Choir, bytes_per_step, choir_config
from chatterbox.engine.engine import DeviceEngine

MOST_STREAMS = 8
_PACE = 2.0  # tokens a letter, as people read aloud: these weights never stop by themselves


class Ours:
    """One family in one precision, loaded; all methods answer with plain values."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._choirs: dict[tuple[int, int], Choir] = {}
        self._engine: DeviceEngine | None = None
        self._known_voice: KnownVoice | None = None

    def load(
        self, *, family: str, folder: str, voices: str, precision: str, threads: int
    ) -> dict[str, Any]:
        torch.set_num_threads(threads)
        self._conditions = Conditions(
            what="stream",
            family_id=family,
            weights=Path(folder),
            voices=Path(voices),
            precision=precision,
            threads=threads,
        )
        self._subject = Subject(self._conditions, Path(voices), pace=_PACE)
        return {"device": str(self._subject.models.device)}

    def text_ids(self, *, tokens: int) -> dict[str, Any]:
        """The ids of the first utterance of so many speech tokens."""
        utterance = self._subject.utterance(0, tokens=tokens)
        tokenizer = self._subject.models.tokenizer
        return {"text_ids": tokenizer.encode(utterance.text, utterance.language)}

    def t3(self, *, streams: int, tokens: int, text_ids: list[int], seed: int) -> dict[str, Any]:
        """Draw `tokens` tokens for so many streams; the first comes with the prefix.

        `limit` is what the memory allows right then, in tokens a second.
        """
        choir = self._choirs.get((streams, tokens))
        if choir is None:
            config = choir_config(streams=streams, tokens=tokens, threads=self._conditions.threads)
            choir = self._choirs[streams, tokens] = Choir(self._subject, config)
        choir.begin(streams=streams, tokens=tokens, seed=seed)
        prefill_s = choir.read([text_ids] * streams)
        decode_s = choir.decode(tokens - 1)
        bandwidth = read_bandwidth_gb_s(self._subject.models.device)
        read = sum(bytes_per_step(self._subject, choir.position_count))
        return {
            "prefill_s": prefill_s,
            "tokens_per_s": streams * (tokens - 1) / decode_s,
            "limit": streams * bandwidth * 1e9 / read,
        }

    def s3gen(self, *, tokens: int) -> dict[str, Any]:
        """Render random tokens whole: flow and vocoder apart, then with the prompt known."""
        times = render_whole(self._subject, tokens)
        if self._known_voice is None:
            self._known_voice = KnownVoice(self._subject)
            self._known_voice.render(tokens)
        known_s = self._known_voice.render(tokens)
        return {"flow_s": times.flow_s, "vocoder_s": times.vocoder_s, "known_voice_s": known_s}

    def speak(self, *, streams: int, tokens: int) -> dict[str, Any]:
        """So many utterances together through the engine, and what their listeners had."""
        return self._loop.run_until_complete(self._speak(streams, tokens))

    async def _speak(self, streams: int, tokens: int) -> dict[str, Any]:
        if self._engine is None:
            config = stream_config(self._conditions, streams=MOST_STREAMS)
            self._engine = DeviceEngine(self._subject.exact_device(config), config)
            await self._engine.start()
        heard = await listen_together(
            self._engine, self._subject, streams=streams, tokens=tokens, first=0
        )
        wall_s = max(each.wall_s for each in heard)
        return {
            "wall_s": wall_s,
            "audio_s": sum(each.audio_s for each in heard),
            "first_audio_s": statistics.median(each.first_audio_s for each in heard),
            "underruns": sum(each.underruns for each in heard),
        }


if __name__ == "__main__":
    serve(Ours())
