"""Export: the averaged weights as half-precision safetensors, and the two built-in voices."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from chatterbox.evaluation.likeness import pretrained_voice_encoder
from chatterbox.models.conditioning import Conditioning, S3GenConditioning, T3Conditioning
from chatterbox.models.s3gen.config import S3GenConfig
from chatterbox.models.s3gen.model import S3Gen
from chatterbox.text.phonemes import SYMBOLS
from chatterbox.training.links import averaged_flow, averaged_t3, averaged_vocoder
from chatterbox.training.train_flow import trained_tokenizer

ASSETS = Path(__file__).parents[1] / "assets" / "tiny"
_EXACT = ("_mel_filters", "window")  # kept in float32: small, and read far below 1
_VOICES = {
    "ada": {
        "display_name": "Ada",
        "description": "A calm American woman; the female voice of the bundled model.",
        "gender": "female",
        "origin": "hibari-tts 0.2.1, voice heart (Apache-2.0), itself distilled from Kokoro-82M",
    },
    "ben": {
        "display_name": "Ben",
        "description": "An American man with a low voice; the male voice of the bundled model.",
        "gender": "male",
        "origin": "the same speech through the WORLD vocoder, pitch x 0.55, formants x 0.84",
    },
}


def halves(module: nn.Module) -> dict[str, Tensor]:
    tensors = {}
    for name, tensor in module.state_dict().items():
        half = tensor.is_floating_point() and not name.endswith(_EXACT)
        tensors[name] = (tensor.half() if half else tensor).contiguous()
        assert torch.isfinite(tensors[name]).all(), f"{name} does not fit half precision"
    return tensors


def trained_s3gen(workdir: Path) -> S3Gen:
    """Tokenizer, flow and vocoder of the work directory in one module."""
    s3gen = S3Gen(S3GenConfig.tiny())
    s3gen.tokenizer.load_state_dict(trained_tokenizer(workdir).state_dict())
    s3gen.flow.load_state_dict(averaged_flow(workdir).state_dict())
    s3gen.mel2wav.load_state_dict(averaged_vocoder(workdir).state_dict())
    return s3gen.eval()


def export(workdir: Path, target: Path = ASSETS) -> None:
    """Write weights, symbol table and voices to `target` (a few MB in all)."""
    target.mkdir(parents=True, exist_ok=True)
    save_file(halves(averaged_t3(workdir)), target / "t3.safetensors")
    save_file(halves(trained_s3gen(workdir)), target / "s3gen.safetensors")
    save_file(halves(pretrained_voice_encoder()), target / "ve.safetensors")
    symbols = json.dumps(list(SYMBOLS), ensure_ascii=False)
    (target / "tokenizer.json").write_text(symbols + "\n", "utf-8")
    speakers = torch.load(workdir / "speakers.pt", weights_only=True)
    for (voice, facts), embeddings in zip(_VOICES.items(), speakers, strict=True):
        _export_voice(target / "voices" / voice, voice, facts, embeddings)


def _export_voice(folder: Path, voice: str, facts: dict[str, str], embeddings: Tensor) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    mean = torch.nn.functional.normalize(embeddings.mean(0, keepdim=True), dim=-1)
    nothing = torch.zeros(1, 0, dtype=torch.long)
    conditioning = Conditioning(
        t3=T3Conditioning(speaker_embedding=mean, prompt_tokens=nothing),
        s3gen=S3GenConditioning(
            prompt_tokens=nothing, prompt_mel=torch.zeros(1, 0, 80), x_vector=mean.clone()
        ),
    )
    save_file(conditioning.tensors(), folder / "conditioning.safetensors")
    description = {
        "id": voice,
        **facts,
        "language": "en-US",
        "families": ["tiny"],
        "licence": "Apache-2.0",
    }
    (folder / "voice.json").write_text(json.dumps(description, indent=2) + "\n", "utf-8")
