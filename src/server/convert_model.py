"""A model family to protobuf: what it is and what it can do."""

from chatterbox.audio.encode import SAMPLE_RATES_HZ
from chatterbox.engine.protocol import FamilyInfo
from chatterbox.speech import RANGES
from chatterbox.v1 import model_pb2
from chatterbox.v1 import synthesis_pb2 as pb
from server.convert import OPTIONS
from server.responses import duration


def model_message(family: FamilyInfo) -> model_pb2.Model:
    """A model family."""
    known = [name for name in OPTIONS if name in family.parameters]
    defaults = {
        name: value for name in known if (value := getattr(family.defaults, name)) is not None
    }
    return model_pb2.Model(
        name=f"models/{family.id}",
        display_name=family.display_name,
        description=family.description,
        language_codes=sorted(family.languages),
        sample_rate_hertz=family.sample_rate_hz,
        default_options=pb.SynthesisOptions(**defaults),
        parameters=[_parameter(name, defaults.get(name)) for name in known],
        paralinguistic_tags=[f"[{tag}]" for tag in sorted(family.tags)],
        min_reference_duration=duration(family.min_reference_s),
        output_sample_rates_hertz=SAMPLE_RATES_HZ,
        word_timings=family.times_words,
    )


def _parameter(name: str, default: float | None) -> model_pb2.ModelParameter:
    values = RANGES[name]
    return model_pb2.ModelParameter(
        name=name,
        minimum=values.low,
        exclusive_minimum=values.open,
        maximum=values.high,
        integer=values.whole,
        default_value=default,
    )
