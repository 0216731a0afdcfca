"""The machine: what it is, and the limits that no program on it can pass."""

import os
import platform
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from chatterbox.benchmark.report import Figure, MachineInfo

MB = 1e6
_CPU_INFO = Path("/proc/cpuinfo")
_PROCESSOR_TIMES = Path("/proc/stat")
_MEMORY_PAGES = Path("/proc/self/statm")
_READ_BYTES = 512 * 2**20  # well beyond any cache
_MATRIX = {"cpu": 1024, "cuda": 8192}
_TRIES = 7


def machine_info(device: torch.device) -> MachineInfo:
    """The machine under this process."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return MachineInfo(
        cpu=_cpu_model(),
        cores=_usable_cores(),
        device=name,
        torch=torch.__version__,
        system=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    )


def _cpu_model() -> str:
    if _CPU_INFO.is_file():
        for line in _CPU_INFO.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was told; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(act: Callable[[], object], device: torch.device) -> float:
    """Wall time of `act`, to the end of what it started on the device."""
    synchronize(device)
    began_s = time.perf_counter()
    act()
    synchronize(device)
    return time.perf_counter() - began_s


def read_bandwidth_gb_s(device: torch.device) -> float:
    """The fastest that memory was read, of a few tries; all threads of torch take part."""
    block = torch.ones(_READ_BYTES // 4, device=device)
    times = [seconds_of(block.sum, device) for _ in range(_TRIES)]
    return _READ_BYTES / min(times) / 1e9


def matmul_gflops(device: torch.device, dtype: torch.dtype) -> float:
    """10^9 floating operations a second in one square matrix product, the best of a few."""
    n = _MATRIX[device.type]
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    times = [seconds_of(lambda: a @ b, device) for _ in range(_TRIES)]
    return 2 * n**3 / min(times) / 1e9


def resident_mb() -> float | None:
    """Memory this process holds now; None where the system does not tell."""
    if not _MEMORY_PAGES.is_file():
        return None
    pages = int(_MEMORY_PAGES.read_text().split()[1])
    return pages * resource.getpagesize() / MB


class Neighbours:
    """How much of the processors other processes took while this one measured."""

    def __init__(self) -> None:
        self._began_s = time.perf_counter()
        self._busy_s = _busy_s()
        self._own_s = _own_s()

    def share(self) -> float | None:
        """Of all processors since it was made, 0 to 1; None where the system does not tell."""
        now_s, before_s = _busy_s(), self._busy_s
        if now_s is None or before_s is None:
            return None
        others_s = now_s - before_s - (_own_s() - self._own_s)
        available_s = (time.perf_counter() - self._began_s) * (os.cpu_count() or 1)
        return min(1.0, max(0.0, others_s / available_s))


def _busy_s() -> float | None:
    """Seconds that all processors together have worked, for this machine or a host beside it."""
    if not _PROCESSOR_TIMES.is_file():
        return None
    ticks = [int(field) for field in _PROCESSOR_TIMES.read_text().split("\n")[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def peak_memory(device: torch.device) -> Iterator[Figure]:
    """The most memory this process ever held, and the most that torch held on a GPU."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if platform.system() == "Darwin" else 1024
    yield Figure.of("peak_rss_mb", [peak * unit / MB])
    if device.type == "cuda":
        yield Figure.of("peak_device_mb", [torch.cuda.max_memory_allocated(device) / MB])
