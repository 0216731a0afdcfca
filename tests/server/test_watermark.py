"""Whether a recording is marked, asked of a server and on the command line."""

import io
import json
from pathlib import Path
from typing import Any

import grpc
import pytest
import soundfile
from safetensors.numpy import load_file

from chatterbox.v1 import watermark_service_pb2 as pb
from chatterbox.v1.watermark_service_pb2_grpc import WatermarkServiceStub
from server.cli import run
from server.watermark import MAX_AUDIO_BYTES

GOLDEN = load_file(Path(__file__).parents[1] / "golden" / "perth.safetensors")
CASES = [("marked_i16", True), ("wav24_i16", False)]


def file_of(name: str, kind: str = "WAV") -> bytes:
    written = io.BytesIO()
    soundfile.write(written, GOLDEN[name], 24_000, format=kind)
    return written.getvalue()


@pytest.mark.parametrize(("name", "is_marked"), CASES)
async def test_a_server_tells_marked_speech_from_other(
    channel: grpc.aio.Channel, name: str, *, is_marked: bool
) -> None:
    request = pb.DetectWatermarkRequest(audio_content=file_of(name, "FLAC"))
    answer = await WatermarkServiceStub(channel).DetectWatermark(request, timeout=60)
    assert answer.watermarked is is_marked
    assert (answer.score > 0.9) if is_marked else (answer.score < 0.1)
    assert answer.duration.seconds == 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "REQUIRED"),
        (b"no sound at all", "AUDIO_UNREADABLE"),
        (bytes(MAX_AUDIO_BYTES + 1), "AUDIO_TOO_LARGE"),
    ],
    ids=["nothing", "text", "too much"],
)
async def test_what_is_no_recording_is_refused(
    channel: grpc.aio.Channel, refusal: Any, content: bytes, reason: str
) -> None:
    request = pb.DetectWatermarkRequest(audio_content=content)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await WatermarkServiceStub(channel).DetectWatermark(request, timeout=60)
    seen = refusal(caught.value)
    assert seen.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (seen.info.reason, seen.fields) == (reason, ["audio_content"])


@pytest.mark.parametrize(("name", "is_marked"), CASES)
def test_the_command_line_answers_by_its_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, *, is_marked: bool
) -> None:
    file = tmp_path / "speech.wav"
    file.write_bytes(file_of(name))
    assert run(["watermark", "detect", str(file)]) == (0 if is_marked else 1)
    assert ("no watermark" in capsys.readouterr().out) is not is_marked
    assert run(["watermark", "detect", "--json", str(file)]) == (0 if is_marked else 1)
    told = json.loads(capsys.readouterr().out)
    assert told["watermarked"] is is_marked
    assert told["duration_s"] == pytest.approx(3)


def test_a_file_that_is_not_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["watermark", "detect", str(tmp_path / "none.wav")]) == 2
    assert "none.wav" in capsys.readouterr().err
