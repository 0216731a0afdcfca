"""Where the web interface is."""

from importlib import resources
from pathlib import Path
from typing import Literal

from chatterbox.errors import ConfigError

PACKAGED = Path(str(resources.files("server"))) / "webui"
BUILT = Path(__file__).parents[3] / "webui" / "dist"  # of a checkout, after its build

Choice = Path | Literal["auto", "none"]


def web_folder(choice: Choice) -> Path | None:
    """The folder of the web interface; None where there is none.

    Raises ConfigError when a folder is named that does not hold one.
    """
    if choice == "none":
        return None
    if choice == "auto":
        found = [each for each in (PACKAGED, BUILT) if (each / "index.html").is_file()]
        return found[0] if found else None
    folder = Path(choice).resolve()
    if not (folder / "index.html").is_file():
        raise ConfigError(f"--web-root: there is no index.html in {folder}")
    return folder
