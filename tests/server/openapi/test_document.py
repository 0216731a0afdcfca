"""The OpenAPI document is valid and says of the REST side what the protos say."""

import json
from typing import Any

import pytest
from openapi_spec_validator import validate

from server.openapi.contract import read_contract
from server.openapi.document import openapi_text


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(openapi_text(has_admin_api=True))
    return loaded


def test_it_is_valid(document: dict[str, Any]) -> None:
    validate(document)
    assert document["openapi"] == "3.1.0"


def test_it_says_how_to_say_who_is_calling(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    assert schemes["bearer"]["scheme"] == "bearer"
    assert schemes["apiKey"]["name"] == "x-api-key"
    assert {name for choice in document["security"] for name in choice} == set(schemes)


def test_every_method_with_an_http_binding_has_an_operation(document: dict[str, Any]) -> None:
    there = {
        operation["operationId"]
        for verbs in document["paths"].values()
        for operation in verbs.values()
    }
    ours = [m for m in read_contract().methods if m.service.startswith("chatterbox.")]
    wanted = {f"{m.service.rpartition('.')[2]}_{m.name}" for m in ours}
    assert there == wanted
    assert "TextToSpeechService_Synthesize" in there
    assert "TextToSpeechService_StreamingSynthesize" not in there  # both ways: gRPC alone


def test_who_may_not_steer_backends_does_not_read_of_it() -> None:
    public = json.loads(openapi_text())
    validate(public)
    assert not [path for path in public["paths"] if "backends" in path]
    assert "Backend" not in public["components"]["schemas"]


def test_a_resource_name_is_a_path(document: dict[str, Any]) -> None:
    operation = document["paths"]["/v1/voices/{voice}"]["get"]
    (parameter,) = operation["parameters"]
    assert (parameter["name"], parameter["in"], parameter["required"]) == ("voice", "path", True)
    assert "voices/{voice}" in parameter["description"]


def test_what_is_in_the_path_is_not_in_the_body(document: dict[str, Any]) -> None:
    operation = document["paths"]["/v1/backends/{backend}:drain"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"] == {}


def test_a_page_is_asked_for_in_the_query(document: dict[str, Any]) -> None:
    parameters = document["paths"]["/v1/voices"]["get"]["parameters"]
    assert {each["name"]: each["schema"]["type"] for each in parameters} == {
        "page_size": "integer",
        "page_token": "string",
    }


def test_fields_have_their_comments_and_types(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    speech = schemas["CreateSpeechRequest"]
    assert speech["required"] == ["input"]
    assert speech["properties"]["voice"].keys() == {"description"}  # a string or an object
    assert speech["properties"]["speed"]["type"] == "number"
    assert "0.25 to 4" in speech["properties"]["speed"]["description"]
    assert schemas["AudioChunk"]["properties"]["audio_content"]["contentEncoding"] == "base64"
    assert schemas["AudioChunk"]["properties"]["offset"]["pattern"]
    assert schemas["SynthesisOptions"]["properties"]["seed"]["type"] == ["string", "integer"]
    assert "AUDIO_ENCODING_PCM" in schemas["AudioEncoding"]["enum"]
    assert "`AUDIO_ENCODING_PCM`: 16-bit" in schemas["AudioEncoding"]["description"]
    assert schemas["Voice"]["properties"]["models"]["items"] == {"type": "string"}
    assert schemas["Voice"]["properties"]["create_time"]["readOnly"] is True


def test_errors_are_those_that_the_edge_sends(document: dict[str, Any]) -> None:
    def error(path: str, verb: str) -> str:
        answer = document["paths"][path][verb]["responses"]["default"]
        return str(answer["content"]["application/json"]["schema"]["$ref"])

    assert error("/v1/audio/speech", "post").endswith("/OpenAIError")
    assert error("/v1/text:synthesize", "post").endswith("/google.rpc.Status")
    speech = document["paths"]["/v1/audio/speech"]["post"]["responses"]["200"]["content"]
    assert {"audio/mpeg", "text/event-stream"} <= speech.keys()
