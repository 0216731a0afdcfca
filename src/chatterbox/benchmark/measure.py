"""Measure: conditions in, report out."""

from dataclasses import replace

import torch

from chatterbox.benchmark.conditions import Conditions
from chatterbox.benchmark.device import measure_device
from chatterbox.benchmark.load import measure_load
from chatterbox.benchmark.machine import Neighbours, machine_info
from chatterbox.benchmark.report import Advance, Figure, Report
from chatterbox.benchmark.s3gen import measure_s3gen
from chatterbox.benchmark.stream import measure_stream
from chatterbox.benchmark.subject import open_subject
from chatterbox.benchmark.t3 import measure_t3
from chatterbox.benchmark.verdicts import verdicts

_MEASUREMENTS = {
    "t3": measure_t3,
    "s3gen": measure_s3gen,
    "stream": measure_stream,
    "load": measure_load,
    "device": measure_device,
}


def measure(conditions: Conditions, advance: Advance = lambda _: None) -> Report:
    """Load what is asked for and measure it.

    Raises ConfigError or CheckpointError when it cannot be loaded.
    """
    torch.set_num_threads(conditions.threads)
    with open_subject(conditions) as subject:
        machine = machine_info(subject.models.device)
        neighbours = Neighbours()
        figures = [*_MEASUREMENTS[conditions.what](subject, advance)]
        share = neighbours.share()
        if share is not None:
            figures.append(Figure.of("cpu_taken_by_others", [share]))
    report = Report(conditions=conditions, machine=machine, figures=tuple(figures))
    if conditions.what != "device":
        return report
    judged = verdicts(conditions.family_id, machine.device, report.by_name)
    return replace(report, verdicts=tuple(judged))
