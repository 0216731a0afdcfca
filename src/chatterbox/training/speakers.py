"""Speakers: the embeddings of the voices' utterances, by the speaker encoder that ships."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from chatterbox.audio.clip import Clip
from chatterbox.evaluation.likeness import speaker_embedder
from chatterbox.training.teacher import SAMPLE_RATE, Recordings


def embed_voices(workdir: Path, voices: tuple[str, ...], *, count: int, skip: int) -> Tensor:
    """(voices, count, 256): `count` utterances of each; also saved as `speakers.pt`."""
    embed = speaker_embedder()
    rows = []
    for voice in voices:
        recordings = Recordings(workdir / voice)
        lengths = [entry["size"] for entry in recordings.entries[skip:]]
        usable = [skip + i for i, size in enumerate(lengths) if size > 3 * SAMPLE_RATE][:count]
        clips = [Clip(recordings.load(i).samples.astype(np.float32), SAMPLE_RATE) for i in usable]
        rows.append(torch.from_numpy(np.stack([embed(clip) for clip in clips])))
    speakers = torch.stack(rows)
    torch.save(speakers, workdir / "speakers.pt")
    return speakers
