"""Measure: conditions in, report out."""

import torch

from chatterbox.benchmark.conditions import Conditions
from chatterbox.benchmark.load import measure_load
from chatterbox.benchmark.machine import machine_info
from chatterbox.benchmark.report import Advance, Report
from chatterbox.benchmark.s3gen import measure_s3gen
from chatterbox.benchmark.stream import measure_stream
from chatterbox.benchmark.subject import open_subject
from chatterbox.benchmark.t3 import measure_t3

_MEASUREMENTS = {
    "t3": measure_t3,
    "s3gen": measure_s3gen,
    "stream": measure_stream,
    "load": measure_load,
}


def measure(conditions: Conditions, advance: Advance = lambda _: None) -> Report:
    """Load what is asked for and measure it.

    Raises ConfigError or CheckpointError when it cannot be loaded.
    """
    torch.set_num_threads(conditions.threads)
    with open_subject(conditions) as subject:
        machine = machine_info(subject.models.device)
        figures = tuple(_MEASUREMENTS[conditions.what](subject, advance))
    return Report(conditions=conditions, machine=machine, figures=figures)
