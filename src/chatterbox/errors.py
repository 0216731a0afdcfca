"""The errors a caller can meet, written for the caller.

ChatterboxError
├── InvalidRequest      a field is missing, out of range or of the wrong kind
├── NotFound            the named voice or model does not exist
├── AlreadyExists       there is one of that name already
├── ReadOnly            the named voice cannot be changed here
├── Unauthenticated     there is no key or token, or it is not a valid one
├── PermissionDenied    the key or token is valid and may not do this
├── Overloaded          every bound is reached; try again after `retry_after_s`
│   └── LimitReached    the caller has used up what it was given; others have not
├── EngineStopped       the engine is draining or has failed; another server may answer
├── SessionIdle         a live session neither spoke nor received anything for too long
├── CallTooLong         a call lasted longer than any may
├── NoBackend           no model server that could take the call serves now
├── BackendLost         the model server that served the call died or vanished
├── StorageFull         there is no room to keep it
├── StorageFailed       it could not be kept or read, for another reason
├── CheckpointError     a weights file is missing, corrupt or of another shape
└── ConfigError         settings that cannot work together

Domain code raises these; only `chatterbox.process.status` knows how they look on the wire.
"""


class ChatterboxError(Exception):
    """Any failure the caller can do something about."""

    reason = "CHATTERBOX_ERROR"  # UPPER_SNAKE, stable: clients switch on it (AIP-193)

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidRequest(ChatterboxError):
    """The request cannot be served as written; `field` is the dotted path of what is wrong."""

    reason = "INVALID_REQUEST"

    def __init__(self, message: str, *, field: str = "", reason: str | None = None) -> None:
        super().__init__(message)
        self.field = field
        if reason is not None:
            self.reason = reason


class NotFound(ChatterboxError):
    """A named resource does not exist; `resource` is its name, such as `voices/ada`."""

    reason = "NOT_FOUND"

    def __init__(self, message: str, *, resource: str) -> None:
        super().__init__(message)
        self.resource = resource


class AlreadyExists(ChatterboxError):
    """There is a resource of that name already, and it was left as it is."""

    reason = "ALREADY_EXISTS"

    def __init__(self, message: str, *, resource: str) -> None:
        super().__init__(message)
        self.resource = resource


class ReadOnly(ChatterboxError):
    """A resource came with the installation, or the installation keeps none of its own."""

    reason = "READ_ONLY"


class StorageFull(ChatterboxError):
    """There is no room to keep what was sent; nothing of it was kept."""

    reason = "STORAGE_FULL"


class StorageFailed(ChatterboxError):
    """What is kept cannot be reached or changed; the operator has to look."""

    reason = "STORAGE_FAILED"


class Unauthenticated(ChatterboxError):
    """Nobody knows who is calling: no credentials, or none that are valid."""

    reason = "UNAUTHENTICATED"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        if reason is not None:
            self.reason = reason


class PermissionDenied(ChatterboxError):
    """It is known who is calling, and it may not do this."""

    reason = "PERMISSION_DENIED"


class Overloaded(ChatterboxError):
    """A bound is reached and nothing was queued; the same request may succeed later."""

    reason = "OVERLOADED"

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class LimitReached(Overloaded):
    """The caller has as many streams, or has sent as much text, as its key allows."""

    reason = "LIMIT_REACHED"  # not OVERLOADED: another server would only look the other way


class EngineStopped(ChatterboxError):
    """The engine takes no more work: it is draining, stopped, or its device failed."""

    reason = "ENGINE_STOPPED"


class SessionIdle(ChatterboxError):
    """A live session neither spoke nor received anything for too long and was ended."""

    reason = "SESSION_IDLE"


class CallTooLong(ChatterboxError):
    """A call lasted longer than this installation lets any call last, and was ended."""

    reason = "CALL_TOO_LONG"


class NoBackend(ChatterboxError):
    """No model server that could take the call serves now; one may in a moment."""

    reason = "NO_BACKEND"


class BackendLost(ChatterboxError):
    """The model server that served the call died or vanished; the same call may succeed."""

    reason = "BACKEND_LOST"


class CheckpointError(ChatterboxError):
    """A weights file cannot be loaded; the message names the file and the first wrong keys."""

    reason = "CHECKPOINT_INVALID"


class ConfigError(ChatterboxError):
    """Settings contradict each other or name something that does not exist."""

    reason = "CONFIG_INVALID"
