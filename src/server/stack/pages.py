"""The pages that the edge serves besides the web interface: the OpenAPI document and its reader."""

import base64
import hashlib
import re
from importlib import resources
from pathlib import Path

from server.openapi.document import openapi_text

DOCS = Path(str(resources.files("server"))) / "stack" / "docs.html"


def write_pages(folder: Path, *, has_admin_api: bool) -> None:
    """Write openapi.json and docs.html into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "openapi.json").write_text(openapi_text(has_admin_api=has_admin_api))
    (folder / "docs.html").write_bytes(DOCS.read_bytes())


def docs_policy() -> str:
    """What docs.html may do, as a content security policy: run the code it holds, and ask this
    server. Envoy's and the page's are of one version, so its hashes are known."""
    rules = {
        "default-src": "'none'",
        "script-src": _hashes("script"),
        "style-src": _hashes("style"),
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {sources}" for name, sources in rules.items())


def _hashes(tag: str) -> str:
    blocks = re.findall(rf"<{tag}>(.*?)</{tag}>", DOCS.read_text("utf-8"), re.DOTALL)
    digests = [hashlib.sha256(block.encode()).digest() for block in blocks]
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
