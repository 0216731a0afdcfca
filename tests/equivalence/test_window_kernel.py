"""S3Gen's attention to what it remembers, by our own kernel, against torch's and against itself in company."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from chatterbox.models.kernels import window
from chatterbox.models.s3gen import encoder
from chatterbox.models.s3gen.config import EncoderConfig
from chatterbox.models.s3gen.encoder import _RelativeAttention
from chatterbox.models.s3gen.memory import Extent, Memory, Recall

HEADS, PROMPT, WINDOW, SEEN, FRESH = 3, 130, 33, 30, 37


@pytest.fixture(autouse=True)
def kernel() -> None:
    """Only where there is one."""
    if not window.has_kernel(torch.empty(1, 64)):
        pytest.skip("there is no C compiler, or no AVX-512")


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def recall(extent: Extent, *, rows: int, shared: bool = False) -> Recall:
    """A pass of a batch, `rows` of the network each; `shared`: all speak with one voice."""
    generator = torch.Generator().manual_seed(5)
    batch = len(extent.new)

    def memory(batch: int, size: int) -> Memory:
        keys_values = torch.randn(2, 2, batch, rows, HEADS, size, 64, generator=generator)
        return Memory(keys_values=keys_values, tails=torch.zeros(batch, rows, 0, 2))

    past, prompt = memory(batch, WINDOW), memory(1 if shared else batch, PROMPT)
    if shared:
        one = Memory(keys_values=prompt.keys_values.squeeze(2), tails=prompt.tails.squeeze(0))
        prompt = one.spread(batch)
    return Recall(past, prompt, extent, seen=SEEN, fresh=FRESH)


def extent(*, prompt: list[int], past: list[int], new: list[int], kept: list[int]) -> Extent:
    return Extent.of(prompt=prompt, past=past, new=new, kept=kept, device=torch.device("cpu"))


def frames(rows: int, layer: int) -> list[Tensor]:
    """Queries, keys and values as a fused projection leaves them, not contiguous."""
    projected = torch.randn(
        rows, FRESH, 3, HEADS, 64, generator=torch.Generator().manual_seed(layer)
    )
    projected[:, :, 0] *= 3
    return [part.transpose(1, 2) for part in projected.unbind(2)]


UNEVEN = extent(prompt=[130, 10, 0], past=[0, 30, 7], new=[37, 3, 20], kept=[31, 2, 20])
EVEN = extent(prompt=[130] * 3, past=[30] * 3, new=[37] * 3, kept=[35] * 3)


@torch.inference_mode()
@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize(
    ("extent", "shared"), [(UNEVEN, False), (EVEN, False), (EVEN, True), (UNEVEN, True)]
)
def test_frames_see_what_torch_lets_them_see(
    monkeypatch: pytest.MonkeyPatch,
    extent: Extent,
    shared: bool,  # noqa: FBT001
    rows: int,
) -> None:
    passes = {name: recall(extent, rows=rows, shared=shared) for name in ("ours", "torch's")}
    valid = torch.arange(FRESH) < extent.new.repeat_interleave(rows)[:, None]
    seen = {}
    for name, one in passes.items():
        if name != "ours":
            monkeypatch.setattr(window, "has_kernel", lambda _: False)
        seen[name] = [one.attend(*frames(3 * rows, layer)).transpose(1, 2) for layer in range(2)]
    for mine, expected in zip(*seen.values(), strict=True):
        assert (mine - expected)[valid].abs().max() < 4e-6
        assert mine.isfinite().all()
    mine, expected = (one.memory().keys_values for one in passes.values())
    for row, (past, kept) in enumerate(zip(extent.past, extent.kept, strict=True)):
        held = min(WINDOW, int(past + kept))
        assert torch.equal(*(kv[:, :, row, ..., WINDOW - held :, :] for kv in (mine, expected)))


@torch.inference_mode()
def test_frames_see_the_same_alone_and_in_company(threads: None) -> None:
    torch.set_num_threads(2)
    together = recall(UNEVEN, rows=1)
    new = frames(3, 0)
    seen = together.attend(*new)
    torch.set_num_threads(1)
    for row in range(3):
        mine = extent(**{
            name: [int(getattr(UNEVEN, name)[row])] for name in ("prompt", "past", "new", "kept")
        })  # fmt: skip
        alone = recall(UNEVEN, rows=1)
        past, prompt = (
            Memory(keys_values=kv, tails=torch.zeros(1, 1, 0, 2))
            for kv in (
                alone._past[:, :, row : row + 1].unsqueeze(3),
                alone._prompt[:, :, row : row + 1],
            )
        )
        count = int(UNEVEN.new[row])
        by_itself = Recall(past, prompt, mine, seen=SEEN, fresh=count).attend(
            *(part[row : row + 1, :, :count] for part in new)
        )
        assert torch.equal(by_itself[0], seen[row, :, :count])


@torch.inference_mode()
@pytest.mark.parametrize("extent", [UNEVEN, EVEN])
def test_frames_see_by_distance_what_torch_lets_them_see(
    monkeypatch: pytest.MonkeyPatch, extent: Extent
) -> None:
    torch.manual_seed(8)
    attention = _RelativeAttention(EncoderConfig(width=64 * HEADS, heads=HEADS))
    attention.remember_distances(400)
    x = torch.randn(3, FRESH, 64 * HEADS)
    passes = [recall(extent, rows=1) for _ in range(2)]
    measured = attention._measured(passes[0])
    assert measured is not None
    mine = attention(x, passes[0].key_mask, passes[0])
    monkeypatch.setattr(encoder, "has_kernel", lambda _: False)
    expected = attention(x, passes[1].key_mask, passes[1])
    valid = torch.arange(FRESH) < extent.new[:, None]
    assert (mine - expected)[valid].abs().max() < 1e-5
    assert mine.isfinite().all()
