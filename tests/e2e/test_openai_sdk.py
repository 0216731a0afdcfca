"""OpenAI's own Python client, unchanged, against the stack."""

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import av
import openai
import pytest

TEXT = "The same sentence by three ways."


@pytest.fixture
def client(stack: Any) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{stack.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def speak(client: openai.OpenAI, **fields: Any) -> bytes:
    defaults = {"model": "tts-1", "voice": "alloy", "input": TEXT, "extra_body": {"seed": 7}}
    return client.audio.speech.create(**defaults | fields).read()


def duration_s(data: bytes) -> float:
    with av.open(io.BytesIO(data)) as container:
        frames = list(container.decode(audio=0))
        return sum(frame.samples for frame in frames) / frames[0].sample_rate


@pytest.fixture
def spoken_s(client: openai.OpenAI) -> float:
    return len(speak(client, response_format="pcm")) / 48_000


@pytest.mark.parametrize("response_format", ["mp3", "opus", "aac", "flac", "wav"])
def test_every_format(client: openai.OpenAI, spoken_s: float, response_format: str) -> None:
    data = speak(client, response_format=response_format)
    assert duration_s(data) == pytest.approx(spoken_s, abs=0.15)


def test_a_file_while_it_is_being_made(client: openai.OpenAI, spoken_s: float) -> None:
    with client.audio.speech.with_streaming_response.create(
        model="tone", voice={"id": "alto"}, input=TEXT, response_format="mp3"
    ) as answer:
        assert answer.headers["content-type"] == "audio/mpeg"
        assert duration_s(b"".join(answer.iter_bytes())) == pytest.approx(spoken_s, abs=0.15)


def test_speed(client: openai.OpenAI, spoken_s: float) -> None:
    data = speak(client, response_format="wav", speed=2.0)
    assert duration_s(data) == pytest.approx(spoken_s / 2, abs=0.01)


def test_events(client: openai.OpenAI, spoken_s: float) -> None:
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input=TEXT, response_format="pcm", stream_format="sse"
    ) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        lines = [line for line in answer.iter_lines() if line]
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    sound = b"".join(base64.b64decode(event["audio"]) for event in events[:-1])
    assert len(sound) == round(spoken_s * 48_000)
    assert events[-1]["type"] == "speech.audio.done"
    assert events[-1]["usage"]["input_tokens"] == len(TEXT)


def test_instructions_are_taken(client: openai.OpenAI) -> None:
    assert speak(client, model="gpt-4o-mini-tts", instructions="Cheerfully.")


def test_an_error_tells_its_kind_its_field_and_its_reason(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        speak(client, speed=9.0)
    error = caught.value
    assert (error.type, error.param, error.code) == (
        "invalid_request_error",
        "speed",
        "OUT_OF_RANGE",
    )
    assert "speed must lie in [0.25, 4]" in error.message


def test_an_unknown_voice_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        speak(client, voice="nobody")
    assert (caught.value.type, caught.value.code) == ("invalid_request_error", "NOT_FOUND")


def test_what_envoy_refuses_has_the_same_shape(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        speak(client, input={"not": "text"})
    assert caught.value.type == "invalid_request_error"


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tone"]
    assert client.models.retrieve("tone").owned_by == "chatterbox"
    with pytest.raises(openai.NotFoundError, match="there is no model 'gpt-5'") as caught:
        client.models.retrieve("gpt-5")
    error = caught.value
    assert (error.type, error.param, error.code) == ("invalid_request_error", None, "NOT_FOUND")


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("GET", "/v1/models/gpt-5", 404),
        ("GET", "/v1/models?colour=red", 400),
        ("POST", "/v1/models", 404),
        ("GET", "/v1/models/a/b", 404),
    ],
)
def test_every_error_about_models_has_openais_shape(
    stack: Any, verb: str, path: str, status: int
) -> None:
    answer = stack.ask(verb, path)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"error"}
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
