"""Made-up voices: of the right shapes and any prompt; nobody sounds like them."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from chatterbox.engine.config import TOKEN_RATE_HZ
from chatterbox.models.conditioning import Conditioning, S3GenConditioning, T3Conditioning
from chatterbox.models.families import Family


def write_made_up_voices(
    folder: Path, family: Family, *, count: int, prompt_s: float, seed: int
) -> None:
    """Put so many voices into an empty folder, for a `VoiceLibrary` to find."""
    generator = torch.Generator().manual_seed(seed)
    for number in range(count):
        voice = folder / f"made-up-{number + 1}"
        voice.mkdir()
        facts = {"display_name": voice.name, "language": "en", "families": [family.id]}
        (voice / "voice.json").write_text(json.dumps(facts), "utf-8")
        tensors = _conditioning(family, prompt_s, generator).tensors()
        save_file(tensors, voice / "conditioning.safetensors")


def _conditioning(family: Family, prompt_s: float, generator: torch.Generator) -> Conditioning:
    tokens, bins = max(1, round(prompt_s * TOKEN_RATE_HZ)), family.s3gen.flow.mel_bins
    speaker = torch.randn(1, family.t3.speaker_dim, generator=generator)
    codes = family.t3.speech_codes
    t3_prompt = 1, family.t3.prompt_tokens
    return Conditioning(
        t3=T3Conditioning(
            speaker_embedding=speaker / speaker.norm(),
            prompt_tokens=torch.randint(codes, t3_prompt, generator=generator),
        ),
        s3gen=S3GenConditioning(
            prompt_tokens=torch.randint(codes, (1, tokens), generator=generator),
            prompt_mel=torch.randn(1, 2 * tokens, bins, generator=generator) - 6.0,
            x_vector=torch.randn(1, family.s3gen.flow.x_vector, generator=generator),
        ),
    )
