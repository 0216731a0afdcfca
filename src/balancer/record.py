"""CallRecord: what is known of a forwarded call, for its log line and its metrics."""

import time
from dataclasses import dataclass, field

import grpc
import structlog

from balancer.metrics import BalancerMetrics

log = structlog.get_logger("balancer.calls")


@dataclass(slots=True, kw_only=True)
class CallRecord:
    """One call, from its first byte to its status."""

    method: str
    request_id: str
    deadline_s: float | None
    began_s: float = field(default_factory=time.monotonic)
    code: grpc.StatusCode = grpc.StatusCode.UNKNOWN
    reason: str | None = None
    backend: str | None = None
    retries: int = 0
    first_message_s: float | None = None
    messages: int = 0

    @property
    def duration_s(self) -> float:
        """How long the call has lasted."""
        return time.monotonic() - self.began_s

    def end(self, metrics: BalancerMetrics) -> None:
        """Write the log line and count the call."""
        metrics.ended(self.code.name, self.duration_s)
        if self.first_message_s is not None:
            metrics.began(self.first_message_s)
        figures = {
            "reason": self.reason,
            "deadline_s": self.deadline_s,
            "backend": self.backend,
            "retries": self.retries or None,
            "first_message_s": self.first_message_s,
            "messages": self.messages or None,
        }
        log.info(
            "call",
            method=self.method.removeprefix("/"),
            code=self.code.name,
            duration_s=round(self.duration_s, 4),
            request_id=self.request_id,
            **{
                key: round(value, 4) if isinstance(value, float) else value
                for key, value in figures.items()
                if value is not None
            },
        )
