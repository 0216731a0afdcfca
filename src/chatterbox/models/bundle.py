"""Models: the networks of one family and its tokenizer, loaded together on one device."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch

from chatterbox.errors import CheckpointError, ConfigError
from chatterbox.models.checkpoint import (
    S3GEN_OPTIONAL,
    T3_DROPPED,
    T3_NAMES,
    VOICE_ENCODER_NAMES,
    load_strict,
    without_storage,
)
from chatterbox.models.families import Family
from chatterbox.models.precision import Precision, check_precision
from chatterbox.models.s3gen.model import S3Gen
from chatterbox.models.t3.model import T3
from chatterbox.models.t3.precision import convert_t3
from chatterbox.models.voice_encoder.model import VoiceEncoder
from chatterbox.text.tokenizer import (
    EnglishTokenizer,
    MultilingualTokenizer,
    TextTokenizer,
    TinyTokenizer,
    TurboTokenizer,
)

# What a family that comes with the package calls its files; the others say so themselves.
BUNDLED_T3 = "t3.safetensors"
BUNDLED_S3GEN = "s3gen.safetensors"
BUNDLED_VOICE_ENCODER = "ve.safetensors"
BUNDLED_TOKENIZER = "tokenizer.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """Everything one family speaks with, in inference mode."""

    family: Family
    t3: T3
    s3gen: S3Gen
    voice_encoder: VoiceEncoder
    tokenizer: TextTokenizer
    device: torch.device
    precision: Precision = "fp32"


def bundled_folder(family: Family) -> Path:
    """Where the package keeps the weights of a family that comes with it."""
    if family.publication is not None:
        raise ConfigError(
            f"the weights of {family.id!r} do not come with the package: name a folder"
        )
    return Path(str(resources.files("chatterbox"))) / "assets" / family.id


def load_models(
    family: Family,
    folder: Path | None = None,
    *,
    device: torch.device | str = "cpu",
    precision: Precision = "fp32",
) -> Models:
    """A family from its folder, by default the bundled one.

    Raises CheckpointError naming the file that is missing, corrupt or of another shape, and
    ConfigError for a device that is not there or cannot compute in that precision.
    """
    place = _device(device)
    check_precision(precision, place)
    folder = bundled_folder(family) if folder is None else folder
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder of weights")
    published = family.publication
    t3 = without_storage(lambda: T3(family.t3))
    load_strict(
        t3,
        folder / (BUNDLED_T3 if published is None else published.t3.name),
        names=T3_NAMES,
        dropped=T3_DROPPED,
    )
    # With storage: what `S3GEN_OPTIONAL` may leave out is computed when it is built.
    s3gen = S3Gen(family.s3gen)
    load_strict(
        s3gen,
        folder / (BUNDLED_S3GEN if published is None else published.s3gen.name),
        optional=S3GEN_OPTIONAL,
    )
    voice_encoder = without_storage(lambda: VoiceEncoder(family.voice_encoder))
    load_strict(
        voice_encoder,
        folder / (BUNDLED_VOICE_ENCODER if published is None else published.voice_encoder.name),
        names=VOICE_ENCODER_NAMES,
    )
    tokenizer = load_tokenizer(family, folder)
    networks = Networks(t3=t3, s3gen=s3gen, voice_encoder=voice_encoder)
    return assemble(family, networks, tokenizer, device=place, precision=precision)


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """The networks of a family as they were loaded or built."""

    t3: T3
    s3gen: S3Gen
    voice_encoder: VoiceEncoder


def assemble(
    family: Family,
    networks: Networks,
    tokenizer: TextTokenizer,
    *,
    device: torch.device | str = "cpu",
    precision: Precision = "fp32",
) -> Models:
    """Networks made ready to speak: moved, frozen, converted, what is constant computed.

    They are changed in place and have no official state dict any more.
    """
    place = torch.device(device)
    check_precision(precision, place)
    for module in (networks.t3, networks.s3gen, networks.voice_encoder):
        module.to(place).eval().requires_grad_(requires_grad=False)
    convert_t3(networks.t3, precision)
    networks.s3gen.prepare(precision)
    return Models(
        family=family,
        t3=networks.t3,
        s3gen=networks.s3gen,
        voice_encoder=networks.voice_encoder,
        tokenizer=tokenizer,
        device=place,
        precision=precision,
    )


def random_networks(family: Family, *, seed: int = 0) -> Networks:
    """Networks of the right shapes that have learnt nothing.

    Layers that start training silent get weights too, or half of the network would not matter.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = Networks(
            t3=T3(family.t3),
            s3gen=S3Gen(family.s3gen),
            voice_encoder=VoiceEncoder(family.voice_encoder),
        )
        for module in (networks.t3, networks.s3gen):
            for parameter in module.parameters():
                if parameter.dim() > 1 and not parameter.any():
                    torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    return networks


def random_models(
    family: Family,
    tokenizer: TextTokenizer,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    precision: Precision = "fp32",
) -> Models:
    """`random_networks` made ready to speak: for tests and benchmarks."""
    networks = random_networks(family, seed=seed)
    return assemble(family, networks, tokenizer, device=device, precision=precision)


def load_tokenizer(family: Family, folder: Path) -> TextTokenizer:
    """The family's text front end; its files lie beside the weights."""
    names = [BUNDLED_TOKENIZER]
    if family.publication is not None:
        names = [file.name for file in family.publication.tokenizer]
    paths = [folder / name for name in names]
    for path in paths[:1]:
        if not path.is_file():
            raise CheckpointError(f"{path} does not exist")
    if family.tokenizer == "english":
        return EnglishTokenizer(paths[0])
    if family.tokenizer == "multilingual":
        return MultilingualTokenizer(paths[0], paths[1] if paths[1].is_file() else None)
    if family.tokenizer == "turbo":
        return TurboTokenizer(*paths)
    return TinyTokenizer(paths[0])


def _device(name: torch.device | str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"{str(name)!r} is not a device") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"the device {str(name)!r} is not there: no CUDA")
    return device
