"""Measure: conditions in, report out."""

from collections.abc import Callable

import torch

from chatterbox.benchmark.conditions import Conditions
from chatterbox.benchmark.machine import machine_info
from chatterbox.benchmark.report import Report
from chatterbox.benchmark.stream import measure_stream
from chatterbox.benchmark.subject import Subject
from chatterbox.benchmark.t3 import measure_t3

_MEASUREMENTS = {"t3": measure_t3, "stream": measure_stream}


def measure(conditions: Conditions, advance: Callable[[], None] = lambda: None) -> Report:
    """Load what is asked for and measure it; `advance` is called after each of the repeats.

    Raises ConfigError or CheckpointError when it cannot be loaded.
    """
    torch.set_num_threads(conditions.threads)
    subject = Subject(conditions)
    figures = tuple(_MEASUREMENTS[conditions.what](subject, advance))
    machine = machine_info(subject.models.device)
    return Report(conditions=conditions, machine=machine, figures=figures)
