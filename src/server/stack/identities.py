"""Identities: the certificates of a stack's processes, if they have any."""

from dataclasses import dataclass
from pathlib import Path

from chatterbox.process.tls import ClientTls, Tls

NAME = "localhost"  # in every certificate, wherever its process listens


@dataclass(frozen=True, slots=True)
class Identities:
    """Files of `chatterbox certs`. Without a folder everything is in the clear."""

    folder: Path | None

    def make(self) -> None:
        """Write what is missing. Raises ConfigError."""
        if self.folder is not None:
            # Not at the top: most stacks need not load all of cryptography.
            from server.certificates import make_certificates

            make_certificates(self.folder)

    @property
    def edge(self) -> Tls | None:
        """With what the edge listens: clients need no certificate."""
        return (
            None
            if self.folder is None
            else Tls(certificate=self._of("edge"), key=self._key("edge"))
        )

    def client(self, part: str) -> ClientTls | None:
        """With what a part of ours calls another one."""
        if self.folder is None:
            return None
        certificate, key = self._of(part), self._key(part)
        return ClientTls(ca=self._of("ca"), certificate=certificate, key=key, name=NAME)

    def listen_flags(self, part: str) -> list[str]:
        """With what a part listens: only for parts with a certificate."""
        if self.folder is None:
            return []
        files = {"certificate": self._of(part), "key": self._key(part), "client-ca": self._of("ca")}
        return [text for name, path in files.items() for text in (f"--tls-{name}", str(path))]

    def balancer_flags(self) -> list[str]:
        """With what the balancer calls servers."""
        if self.folder is None:
            return []
        files = {"certificate": self._of("balancer"), "key": self._key("balancer")}
        given = {"ca": str(self._of("ca")), "name": NAME, **{k: str(v) for k, v in files.items()}}
        return [text for name, value in given.items() for text in (f"--backend-tls-{name}", value)]

    def _of(self, name: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{name}.pem"

    def _key(self, name: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{name}-key.pem"
