"""ReferenceRules: what each model family asks of a reference clip. Torch-free."""

from dataclasses import dataclass

from chatterbox.models.families import FAMILIES, NANO, TINY, TURBO, Family

TINY_SPEAKER_DBFS = -30.0  # its VoiceEncoder was trained on clips of this level


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceRules:
    """What a model family asks of a reference clip."""

    prompt_tokens: int  # of T3's prompt, 25 to the second; what the clip lacks is left out
    levelled: bool = False  # bring the clip to -27 LUFS first
    speaker_dbfs: float | None = None  # the level at which the VoiceEncoder alone hears it
    longer_than_s: float = 0.5

    @classmethod
    def of(cls, family: Family) -> "ReferenceRules":
        """Turbo and Nano level what they hear and want much of it; the others take any clip."""
        prompt_tokens = family.t3.prompt_tokens
        if family.id in (TURBO.id, NANO.id):
            return cls(prompt_tokens=prompt_tokens, levelled=True, longer_than_s=5.0)
        level = TINY_SPEAKER_DBFS if family.id == TINY.id else None
        return cls(prompt_tokens=prompt_tokens, speaker_dbfs=level)


def shortest_reference_s(family: str) -> float:
    """What a reference must be longer than; 0 for a family that is not known here."""
    known = FAMILIES.get(family)
    return 0.0 if known is None else ReferenceRules.of(known).longer_than_s
