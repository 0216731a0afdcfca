"""CallRecord: what is known of a forwarded call, for its log line, its metrics and its trace."""

import time
from dataclasses import dataclass, field

import grpc
import structlog

from balancer.metadata import Metadata
from balancer.metrics import BalancerMetrics
from chatterbox.errors import BackendLost
from chatterbox.process.tracing import Span

log = structlog.get_logger("balancer.calls")


@dataclass(slots=True, kw_only=True)
class CallRecord:
    """One call, from its first byte to its status. `method` has no leading `/`."""

    method: str
    request_id: str
    deadline_s: float | None
    span: Span
    began_s: float = field(default_factory=time.monotonic)
    code: grpc.StatusCode = grpc.StatusCode.UNKNOWN
    reason: str | None = None
    backend: str | None = None
    retries: int = 0
    resumes: int = 0
    first_message_s: float | None = None
    messages: int = 0
    _attempt: Span | None = None

    @property
    def duration_s(self) -> float:
        """How long the call has lasted."""
        return time.monotonic() - self.began_s

    def attempt(self, backend: str, metadata: Metadata) -> Metadata:
        """The backend at this address is asked; the metadata that it gets, with its own span."""
        self.backend = backend
        self._attempt = self.span.attempt(
            self.method, backend, retry=self.retries, resume=self.resumes
        )
        return self._attempt.passed_on(metadata)

    def attempt_ended(self, code: str) -> None:
        """What was asked last has this status; only the first word of it counts."""
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.end(code)

    def end(self, metrics: BalancerMetrics) -> None:
        """Write the log line, end the span and count the call."""
        metrics.ended(self.code.name, self.duration_s)
        if self.first_message_s is not None:
            metrics.began(self.first_message_s)
            if self.reason == BackendLost.reason:
                metrics.broke_off()
        figures = {
            "reason": self.reason,
            "deadline_s": self.deadline_s,
            "backend": self.backend,
            "retries": self.retries or None,
            "resumes": self.resumes or None,
            "first_message_s": self.first_message_s,
            "messages": self.messages or None,
        }
        self.span.note(**figures)
        self.span.end(self.code.name)
        log.info(
            "call",
            method=self.method,
            code=self.code.name,
            duration_s=round(self.duration_s, 4),
            request_id=self.request_id,
            **{
                key: round(value, 4) if isinstance(value, float) else value
                for key, value in figures.items()
                if value is not None
            },
        )
