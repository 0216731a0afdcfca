"""Memory in large pages: what lies in it is what was put there, and it is given back."""

import gc
import sys
from pathlib import Path

import pytest
import torch

from chatterbox.models.kernels.pages import empty, placed, zeros

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int8, torch.bfloat16])
@pytest.mark.parametrize("shape", [(3, 5), (0,), (1,), (7, 1, 129)])
def test_what_is_placed_is_the_same(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    given = torch.randn(shape).mul(20).to(dtype)
    copies = [placed(given) for _ in range(3)]
    for copy in copies:
        assert copy.shape == given.shape
        assert copy.dtype == dtype
        assert torch.equal(copy, given)
    copies[0].zero_()
    assert torch.equal(copies[1], given), "neighbours do not overlap"


def test_a_transposed_tensor_is_placed_in_the_order_it_is_read() -> None:
    given = torch.arange(12.0).view(3, 4).t()
    copy = placed(given)
    assert copy.is_contiguous()
    assert torch.equal(copy, given)


def test_parts_begin_at_lines_of_the_cache() -> None:
    assert all(placed(torch.ones(5)).data_ptr() % 64 == 0 for _ in range(4))


def test_what_is_large_holds_zeros_and_takes_memory_where_it_is_written_only() -> None:
    before = resident_bytes()
    room = zeros((64, 1 << 20), torch.float32, CPU)
    assert resident_bytes() - before < 64 << 20
    assert not room[5].any()
    room[:] = 1.0
    assert resident_bytes() - before > 200 << 20
    del room
    gc.collect()
    assert resident_bytes() - before < 64 << 20


def test_room_for_what_comes_and_goes_is_given_back() -> None:
    before = resident_bytes()
    large, small = empty((3, 8 << 20), torch.float32, CPU), zeros((5, 7), torch.bfloat16, CPU)
    assert (large.shape, small.shape, small.dtype) == ((3, 8 << 20), (5, 7), torch.bfloat16)
    assert not small.any()
    assert resident_bytes() - before < 16 << 20, "not written yet"
    large[:] = 1.0
    assert resident_bytes() - before > 64 << 20
    del large
    gc.collect()
    assert resident_bytes() - before < 16 << 20


def resident_bytes() -> int:
    if sys.platform != "linux":
        pytest.skip("looks into /proc")
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
