"""The pages that the edge serves besides the web interface: the OpenAPI document and its reader."""

from importlib import resources
from pathlib import Path

from server.openapi.document import openapi_text

DOCS = Path(str(resources.files("server"))) / "stack" / "docs.html"


def write_pages(folder: Path, *, has_admin_api: bool) -> None:
    """Write openapi.json and docs.html into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "openapi.json").write_text(openapi_text(has_admin_api=has_admin_api))
    (folder / "docs.html").write_bytes(DOCS.read_bytes())
