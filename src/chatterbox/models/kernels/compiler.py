"""Compiler: C made into functions of this process, for just the processor it runs on."""

import ctypes
import functools
import logging
import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

log = logging.getLogger(__name__)

_FLAGS = (
    "-O3",
    "-march=native",
    # Sums may be vectorised by what the code says; NaN and infinity keep their meaning.
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fopenmp",  # the threads are torch's: its OpenMP library is loaded already, and is of this name
    "-fPIC",
    "-shared",
)
_TIMEOUT_S = 60.0


@functools.cache
def compiled(source: Path) -> ctypes.CDLL | None:
    """The functions of a C file; None where there is no compiler, or it cannot compile that.

    It takes a moment, and nothing is left on the disk. `CC` names another compiler; if it is
    empty, none is used.
    """
    name = os.environ.get("CC", "cc")
    compiler = shutil.which(name) if name else None
    if compiler is None:
        return None
    with TemporaryDirectory(prefix="chatterbox-") as folder:
        library = Path(folder) / f"{source.stem}.so"
        command = [compiler, *_FLAGS, str(source), "-o", str(library), "-lm"]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_S)
            return ctypes.CDLL(str(library))  # stays mapped when the file is gone
        except (OSError, subprocess.SubprocessError) as reason:
            errors = getattr(reason, "stderr", None) or str(reason).encode()
            said = errors.decode(errors="replace")[-500:]
            log.warning("%s cannot compile %s, torch will do: %s", compiler, source.name, said)
            return None
