"""Footers behind responses: put on, taken off, and never mistaken for anything else."""

from hypothesis import given
from hypothesis import strategies as st

from chatterbox.process.resume import footer, split
from chatterbox.v1 import synthesis_pb2
from chatterbox.worker.v1 import resume_pb2


@given(st.binary(max_size=300), st.binary(max_size=20_000), st.integers(0, 2**32 - 1))
def test_what_is_put_behind_a_response_is_taken_off_again(
    content: bytes, state: bytes, taken: int
) -> None:
    response = synthesis_pb2.StreamingSynthesizeResponse(
        audio=synthesis_pb2.AudioChunk(audio_content=content, sequence=3)
    )
    before = response.SerializeToString()
    response.MergeFromString(footer(state, requests_taken=taken))

    plain, found = split(response.SerializeToString())

    assert plain == before
    assert found is not None
    assert found.requests_taken == taken
    read = resume_pb2.ResumeFooter.FromString(found.written)
    assert (read.state, read.requests_taken, read.size) == (state, taken, len(found.written))


@given(st.binary(max_size=300))
def test_a_response_without_a_footer_is_left_alone(message: bytes) -> None:
    assert split(message) == (message, None)


def test_a_footer_that_lies_about_its_size_is_none() -> None:
    written = footer(b"state", requests_taken=1)
    for size in (0, len(written) - 1, len(written) + 1, 2**32 - 1):
        lie = b"response" + written[:-4] + size.to_bytes(4, "little")
        assert split(lie) == (lie, None)
