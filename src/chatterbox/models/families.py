"""Families: the kinds of Chatterbox there are, as data. Torch-free.

One set of modules serves them all; a family is a configuration, a tokenizer, the settings its
authors recommend, and the names of the files it is published in.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from chatterbox.models.s3gen.config import S3GenConfig
from chatterbox.models.t3.config import T3Config
from chatterbox.models.voice_encoder.config import VoiceEncoderConfig
from chatterbox.speech import Sampling
from chatterbox.text.languages import MULTILINGUAL
from chatterbox.text.markup import EXPRESSIVE_TAGS

TokenizerKind = Literal["english", "multilingual", "turbo", "phonemes"]

_OFF = Sampling(
    temperature=1.0,
    exaggeration=0.5,
    cfg_weight=0.0,
    top_p=1.0,
    top_k=0,
    min_p=0.0,
    repetition_penalty=1.0,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFile:
    """A file of a Hugging Face repository, with its size where that is known."""

    name: str
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """Where the official weights of a family are found."""

    repository: str
    revision: str
    t3: PublishedFile
    s3gen: PublishedFile
    voice_encoder: PublishedFile
    tokenizer: tuple[PublishedFile, ...]
    voice: PublishedFile  # the sample voice, a pickle: read with weights_only


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One model family: how it is built, fed and asked."""

    id: str
    display_name: str
    description: str
    t3: T3Config
    s3gen: S3GenConfig
    voice_encoder: VoiceEncoderConfig = field(default_factory=VoiceEncoderConfig)
    tokenizer: TokenizerKind
    languages: tuple[str, ...]
    parameters: frozenset[str]  # the names in `Sampling` that make a difference
    defaults: Sampling  # nothing in it is None but the seed
    penalty_last: bool  # the repetition penalty comes after the filters
    closing_tokens: tuple[int, ...] = ()  # silence appended to the speech
    tags: frozenset[str] = frozenset()  # sounds and manners it can be asked for, as "laugh"
    alignment_heads: tuple[tuple[int, int], ...] = ()  # (layer, head) of T3 that follow the text
    min_reference_s: float = 3.0  # of a recording that a voice is made of
    publication: Publication | None  # None: comes with this package

    def settle(self, asked: Sampling) -> Sampling:
        """The settings in force: those asked for where the family knows them, else its own."""
        known = {
            name: value for name in self.parameters if (value := getattr(asked, name)) is not None
        }
        return replace(self.defaults, **known)


_EXPRESSIVE = frozenset(
    {
        "seed",
        "temperature",
        "exaggeration",
        "cfg_weight",
        "top_p",
        "min_p",
        "repetition_penalty",
    }
)
_DIRECT = frozenset({"seed", "temperature", "top_p", "top_k", "repetition_penalty"})

_VOICE_ENCODER = PublishedFile(name="ve.safetensors", size_bytes=5_695_784)
_S3GEN = PublishedFile(name="s3gen.safetensors", size_bytes=1_056_484_620)
_MEANFLOW = PublishedFile(name="s3gen_meanflow.safetensors", size_bytes=1_064_875_036)
_BYTE_PAIRS = tuple(
    PublishedFile(name=n) for n in ("vocab.json", "merges.txt", "added_tokens.json")
)

TINY = Family(
    id="tiny",
    display_name="Tiny",
    description="The bundled English voice: small enough for two CPU cores.",
    t3=T3Config.tiny(),
    s3gen=S3GenConfig.tiny(),
    tokenizer="phonemes",
    languages=("en",),
    # Its teacher never varies its expression, so the emotion input was trained to do nothing.
    parameters=_EXPRESSIVE - {"exaggeration"},
    # Measured: a deterministic teacher leaves little to draw, and repeated tokens are silence.
    defaults=replace(_OFF, temperature=0.3, cfg_weight=0.5, top_p=0.9),
    penalty_last=False,
    alignment_heads=((1, 0), (2, 0)),  # found by looking: all their attention is on the text
    publication=None,
)
ENGLISH = Family(
    id="english",
    display_name="Chatterbox",
    description="English with control over expressiveness and guidance.",
    t3=T3Config.english(),
    s3gen=S3GenConfig.standard(),
    tokenizer="english",
    languages=("en",),
    parameters=_EXPRESSIVE,
    defaults=replace(
        _OFF, temperature=0.8, exaggeration=0.5, cfg_weight=0.5, min_p=0.05, repetition_penalty=1.2
    ),
    penalty_last=False,
    publication=Publication(
        repository="ResembleAI/chatterbox",
        revision="main",
        t3=PublishedFile(name="t3_cfg.safetensors", size_bytes=2_129_653_744),
        s3gen=_S3GEN,
        voice_encoder=_VOICE_ENCODER,
        tokenizer=(PublishedFile(name="tokenizer.json", size_bytes=25_470),),
        voice=PublishedFile(name="conds.pt", size_bytes=107_374),
    ),
)
MULTILINGUAL_FAMILY = Family(
    id="multilingual",
    display_name="Chatterbox Multilingual",
    description="Twenty-three languages with control over expressiveness and guidance.",
    t3=T3Config.multilingual(),
    s3gen=S3GenConfig.standard(),
    tokenizer="multilingual",
    languages=MULTILINGUAL,
    parameters=_EXPRESSIVE,
    defaults=replace(
        _OFF, temperature=0.8, exaggeration=0.5, cfg_weight=0.5, min_p=0.05, repetition_penalty=1.2
    ),
    penalty_last=False,
    publication=Publication(
        repository="ResembleAI/chatterbox",
        revision="main",
        t3=PublishedFile(name="t3_mtl23ls_v2.safetensors", size_bytes=2_143_989_752),
        s3gen=_S3GEN,
        voice_encoder=_VOICE_ENCODER,
        tokenizer=(
            PublishedFile(name="grapheme_mtl_merged_expanded_v1.json", size_bytes=69_989),
            PublishedFile(name="Cangjie5_TC.json", size_bytes=1_920_163),
        ),
        voice=PublishedFile(name="conds.pt", size_bytes=107_374),
    ),
)
TURBO = Family(
    id="turbo",
    display_name="Chatterbox Turbo",
    description="English with tags such as [laugh]; two-step decoding.",
    t3=T3Config.turbo(),
    s3gen=S3GenConfig.meanflow(),
    tokenizer="turbo",
    languages=("en",),
    parameters=_DIRECT,
    defaults=replace(_OFF, temperature=0.8, top_p=0.95, top_k=1000, repetition_penalty=1.2),
    penalty_last=True,
    closing_tokens=(4299, 4299, 4299),
    tags=frozenset(EXPRESSIVE_TAGS),
    min_reference_s=5.0,
    publication=Publication(
        repository="ResembleAI/chatterbox-turbo",
        revision="main",
        t3=PublishedFile(name="t3_turbo_v1.safetensors", size_bytes=1_915_480_052),
        s3gen=_MEANFLOW,
        voice_encoder=_VOICE_ENCODER,
        tokenizer=_BYTE_PAIRS,
        voice=PublishedFile(name="conds.pt", size_bytes=169_454),
    ),
)
NANO = replace(
    TURBO,
    id="nano",
    display_name="Chatterbox Nano",
    description="Turbo with a third of the parameters.",
    t3=T3Config.nano(),
    publication=Publication(
        repository="ResembleAI/chatterbox-nano",
        revision="main",
        t3=PublishedFile(name="t3_nano_v1.safetensors", size_bytes=869_899_204),
        s3gen=_MEANFLOW,
        voice_encoder=_VOICE_ENCODER,
        tokenizer=_BYTE_PAIRS,
        voice=PublishedFile(name="conds.pt", size_bytes=169_454),
    ),
)

FAMILIES = {family.id: family for family in (TINY, ENGLISH, MULTILINGUAL_FAMILY, TURBO, NANO)}
