"""A voice as one file: a ZIP archive of voice.json and its safetensors files, and nothing else.

An archive may come from anybody. Names are compared with those that a voice has, never used as
paths; sizes are counted while reading, whatever the archive says of them; tensors are checked
before they are kept, and no pickle is ever opened.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from chatterbox.errors import CheckpointError, InvalidRequest
from chatterbox.models.families import FAMILIES
from chatterbox.voices.facts import MAX_BYTES, read_voice, voice_json
from chatterbox.voices.recording import assess
from chatterbox.voices.store import CONDITIONING, REFERENCE, VOICE_JSON, conditioning_name
from chatterbox.voices.tensors import read_conditioning, read_reference
from chatterbox.voices.voice import Voice, check_consent, check_voice_id

MEDIA_TYPE = "application/zip"
MAX_ARCHIVE_BYTES = 32 * 1024 * 1024
MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_FILES = 16
_LISTED = b"PK\x01\x02"  # begins each entry of the list of files
_FIELD = "archive"
_ENCRYPTED = 0x1  # bit of a member's flags
_PLAIN_KINDS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What Python's reader raises of an archive that is damaged or made to deceive.
_BROKEN = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError)
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # of ZIP's calendar: the same voice gives the same bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """What an archive holds, checked."""

    voice: Voice
    files: Mapping[str, bytes]  # without voice.json


def pack(voice: Voice, files: Mapping[str, bytes]) -> bytes:
    """A voice and its files as an archive that `unpack` takes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted({**files, VOICE_JSON: voice_json(voice)}.items()):
            member = zipfile.ZipInfo(name, _FIRST_DAY)
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, data)
    return content.getvalue()


def unpack(content: bytes, *, voice_id: str = "", consent_s: float | None = None) -> Unpacked:
    """The voice in an archive, under `voice_id` or the id it was exported from.

    `consent_s` is when consent was declared for one that holds no declaration. Raises InvalidRequest
    naming the field for what is no such archive, holds what no voice has, does not fit the models,
    or comes without consent.
    """
    files = _read_all(content)
    facts = files.pop(VOICE_JSON, None)
    if facts is None:
        raise _bad(f"it has no {VOICE_JSON}")
    try:
        voice = read_voice(voice_id, facts, is_read_only=False)
        wanted_id = voice_id or str(json.loads(facts).get("id", ""))
        check_voice_id(wanted_id, field="voice_id")
        voice = replace(voice, id=wanted_id, consent_s=voice.consent_s or consent_s)
        check_consent(voice.consent_s is not None, field="consent")
        return _checked(voice, files)
    except CheckpointError as error:
        raise _bad(error.message) from error


def _checked(voice: Voice, files: Mapping[str, bytes]) -> Unpacked:
    """What the files hold decides over what is said of them; raises CheckpointError."""
    kept: dict[str, bytes] = {}
    families = []
    for family in voice.families:
        data = files.get(conditioning_name(family), files.get(CONDITIONING))
        if family in FAMILIES and data is not None:
            read_conditioning(data, family)
            kept[conditioning_name(family)] = data
            families.append(family)
    reference = None
    if REFERENCE in files:
        heard = assess(read_reference(files[REFERENCE]), field=_FIELD)
        reference, kept[REFERENCE] = heard.reference, heard.content
    if not kept:
        raise CheckpointError("it holds neither a recording nor a conditioning")
    return Unpacked(voice=replace(voice, families=tuple(families), reference=reference), files=kept)


def _read_all(content: bytes) -> dict[str, bytes]:
    if len(content) > MAX_ARCHIVE_BYTES:
        raise _bad(f"it has more than {MAX_ARCHIVE_BYTES} bytes")
    # Before it is opened, by which the whole list would be read, into many times its size.
    if content.count(_LISTED) > MAX_FILES:
        raise _bad(f"it holds more than {MAX_FILES} files")
    allowed = {VOICE_JSON, REFERENCE, CONDITIONING, *map(conditioning_name, FAMILIES)}
    files: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.infolist():
                if member.filename not in allowed or member.filename in files:
                    raise _bad(f"it holds {member.filename[:80]!r}, which no voice has, or twice")
                if member.flag_bits & _ENCRYPTED or member.compress_type not in _PLAIN_KINDS:
                    raise _bad(f"{member.filename!r} is packed in a way that is not read")
                files[member.filename] = _read(archive, member)
                if sum(map(len, files.values())) > MAX_ARCHIVE_BYTES:
                    raise _bad(f"its files have more than {MAX_ARCHIVE_BYTES} bytes together")
    except _BROKEN as error:
        raise _bad(f"it is no intact ZIP archive: {error}") from error
    return files


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    limit = MAX_BYTES if member.filename == VOICE_JSON else MAX_FILE_BYTES
    with archive.open(member) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise _bad(f"{member.filename!r} has more than {limit} bytes")
    return data


def _bad(problem: str) -> InvalidRequest:
    return InvalidRequest(
        f"the file is no voice that was exported: {problem}",
        field=_FIELD,
        reason="ARCHIVE_UNREADABLE",
    )
