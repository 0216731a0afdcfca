"""Loop: one training, resumable, with a cosine learning rate and an average of the weights.

Where `torch.distributed` is initialised, every process draws its own batches and the gradients
are averaged: two processes of one thread each keep two cores busier than two threads.
"""

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, distributed, nn

from chatterbox.training.checkpoints import Average, load, save


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How long and how fast to train. Times are of the wall."""

    steps: int
    learning_rate: float
    final_rate: float = 0.02  # of the first
    warm_up: int = 100
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.01
    clip: float = 1.0
    average: float = 0.999
    log_every: int = 50
    save_every_s: float = 120.0
    seed: int = 0

    def rate(self, step: int) -> float:
        """The learning rate of a step: linear warm-up, then a cosine."""
        if step < self.warm_up:
            return self.learning_rate * (step + 1) / self.warm_up
        part = min(1.0, (step - self.warm_up) / max(1, self.steps - self.warm_up))
        low = self.final_rate
        return self.learning_rate * (low + (1 - low) * 0.5 * (1 + float(np.cos(np.pi * part))))


class Task(ABC):
    """What is trained: `trained` holds every parameter, `loss` draws a batch and scores it."""

    trained: nn.Module

    @abstractmethod
    def loss(self, step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """The loss of one fresh batch and figures worth logging."""


def train(task: Task, run: Run, path: Path) -> Average:
    """Train to `run.steps`, starting from `path` if it exists; saves there every few minutes."""
    parameters = [p for p in task.trained.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, run.learning_rate, run.betas, weight_decay=run.weight_decay, foreach=True
    )
    average = Average(task.trained, run.average)
    step = _resume(path, task, average, optimizer)
    rank = distributed.get_rank() if distributed.is_initialized() else 0
    torch.manual_seed(run.seed + step + 1_000_003 * rank)
    rng = np.random.default_rng(run.seed + step + 1_000_003 * rank)
    saved = time.monotonic()
    sums: dict[str, float] = {}
    cpu = time.process_time()
    while step < run.steps:
        for group in optimizer.param_groups:
            group["lr"] = run.rate(step)
        loss, figures = task.loss(step, rng)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        _share_gradients(parameters)
        norm = nn.utils.clip_grad_norm_(parameters, run.clip, foreach=True)
        if torch.isfinite(norm):
            optimizer.step()
        step += 1
        average.update(task.trained, step)
        for name, value in {"loss": loss.item(), "norm": norm.item(), **figures}.items():
            sums[name] = sums.get(name, 0.0) + value
        if rank > 0:
            continue
        if step % run.log_every == 0:
            used, cpu = time.process_time() - cpu, time.process_time()
            _log(path, step, sums, used, run.log_every)
            sums = {}
        if time.monotonic() - saved > run.save_every_s or step == run.steps:
            saved = time.monotonic()
            _save(path, task, average, optimizer, step)
    return average


def _share_gradients(parameters: list[nn.Parameter]) -> None:
    if not distributed.is_initialized():
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    position = 0
    for gradient in gradients:
        gradient.copy_(flat[position : position + gradient.numel()].view_as(gradient))
        position += gradient.numel()


def _resume(path: Path, task: Task, average: Average, optimizer: torch.optim.Optimizer) -> int:
    state = load(path)
    if state is None:
        return 0
    task.trained.load_state_dict(state["trained"])
    average.module.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def _save(
    path: Path, task: Task, average: Average, optimizer: torch.optim.Optimizer, step: int
) -> None:
    state = {
        "step": step,
        "trained": task.trained.state_dict(),
        "average": average.module.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    save(path, state)


def _log(path: Path, step: int, sums: dict[str, float], used: float, count: int) -> None:
    figures = " ".join(f"{name}={value / count:.4g}" for name, value in sums.items())
    clock = time.strftime("%H:%M:%S")
    with path.with_suffix(".log").open("a") as log:
        log.write(f"{clock} {step} {figures} cpu_s={used:.1f}\n")
