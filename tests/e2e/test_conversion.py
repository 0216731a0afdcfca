"""Conversion through Envoy and the balancer: by curl as docs/conversion.md prints it, and both ways."""

import base64
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import grpc
import pytest

from chatterbox.audio.files import pcm16, read_clip, wav_bytes
from chatterbox.v1 import conversion_pb2 as pb
from chatterbox.v1.voice_conversion_service_pb2_grpc import VoiceConversionServiceStub

PAGE = Path(__file__).parents[2] / "docs" / "conversion.md"
EXAMPLES = re.compile(r"<!-- test: curl -->\s*```sh\n(.*?)```", re.DOTALL)
PRINTED = "127.0.0.1:8080"
PATH = "/v1/speech:convert"


def lines(body: bytes) -> list[Any]:
    return [json.loads(line) for line in body.splitlines() if line]


def test_the_page_works_as_printed(stack: Any, tmp_path: Path, speech: Any) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine")
    (example,) = EXAMPLES.findall(PAGE.read_text(encoding="utf-8"))
    assert PRINTED in example
    (tmp_path / "speech.wav").write_bytes(wav_bytes(speech))
    done = subprocess.run(
        ["sh", "-e", "-c", example.replace(PRINTED, stack.edge)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answers = lines((tmp_path / "converted.jsonl").read_bytes())
    assert answers[0]["started"]["voice"] == "voices/bass"
    mp3 = b"".join(
        base64.b64decode(answer["audio"]["audio_content"])
        for answer in answers
        if "audio" in answer
    )
    heard = read_clip(io.BytesIO(mp3))
    assert heard.duration_s == pytest.approx(speech.duration_s, abs=0.15)
    assert answers[-1]["summary"]["source_duration"] == "8s"


@pytest.mark.parametrize(
    ("query", "body", "status", "reason"),
    [
        ("", b"no sound " * 1_000, 400, "AUDIO_UNREADABLE"),
        ("", b"", 400, "REQUIRED"),
        ("?voice.name=voices/nobody", None, 404, "NOT_FOUND"),
        ("?audio_config.speaking_rate=9", None, 400, "OUT_OF_RANGE"),
        ("?no_such_field=1", None, 400, ""),
    ],
)
def test_a_mistake_is_told_by_status_and_reason(
    stack: Any, recording: bytes, query: str, body: bytes | None, status: int, reason: str
) -> None:
    answer = stack.ask("POST", PATH + query, recording if body is None else body)
    assert answer.status == status
    assert reason in answer.body.decode()


async def test_sound_streams_both_ways(stack: Any, speech: Any) -> None:
    """Sound is there while the source is still open."""
    for address in (stack.balancer, stack.edge):
        async with grpc.aio.insecure_channel(address) as channel:
            call = VoiceConversionServiceStub(channel).ConvertVoice()
            source = pb.SourceFormat(encoding=pb.SOURCE_ENCODING_PCM, sample_rate_hertz=24_000)
            config = pb.ConvertVoiceConfig(source=source, voice={"name": "voices/bass"})
            await call.write(pb.ConvertVoiceRequest(config=config))
            assert (await call.read()).started.voice == "voices/bass"
            await call.write(pb.ConvertVoiceRequest(audio=pcm16(speech)))
            count = len((await call.read()).audio.audio_content)
            assert count > 0
            await call.done_writing()
            while (answer := await call.read()) is not grpc.aio.EOF:
                count += len(answer.audio.audio_content)
            assert count / 2 / 24_000 == pytest.approx(speech.duration_s, abs=0.001)
