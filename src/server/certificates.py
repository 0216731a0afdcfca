"""Certificates for trying TLS out: an authority of one's own, and what it vouches for."""

import ipaddress
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from chatterbox.errors import ConfigError

PARTS = ("edge", "balancer", "server")
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
AUTHORITY = "ca"
AUTHORITY_LASTS = timedelta(days=3_650)
LASTS = timedelta(days=365)
CLOCKS_DIFFER = timedelta(hours=1)


def certificate_path(folder: Path, name: str) -> Path:
    """Where the certificate of a part is, or that of the authority."""
    return folder / f"{name}.pem"


def key_path(folder: Path, name: str) -> Path:
    """Where its key is."""
    return folder / f"{name}-key.pem"


def make_certificates(folder: Path, hosts: Sequence[str] = THIS_MACHINE) -> list[Path]:
    """Write what is missing: the authority, and a certificate and key for each part of ours.

    Gives what was written. A certificate serves calls and makes them. Raises ConfigError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        if not certificate_path(folder, AUTHORITY).exists():
            written += _write_authority(folder)
        for name in PARTS:
            if not certificate_path(folder, name).exists():
                written += _write_part(folder, name, hosts)
    except OSError as error:
        raise ConfigError(f"cannot write certificates into {folder}: {error.strerror}") from None
    return written


def _write_authority(folder: Path) -> list[Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Chatterbox, for development")])
    certificate = (
        _begun(name, key.public_key(), issuer=name, lasts=AUTHORITY_LASTS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _write(folder, AUTHORITY, certificate, key)


def _write_part(folder: Path, name: str, hosts: Sequence[str]) -> list[Path]:
    authority, authority_key = _authority(folder)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"chatterbox {name}")])
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        _begun(subject, key.public_key(), issuer=authority.subject, lasts=LASTS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    return _write(folder, name, certificate, key)


def _authority(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate(
            certificate_path(folder, AUTHORITY).read_bytes()
        )
        key = serialization.load_pem_private_key(key_path(folder, AUTHORITY).read_bytes(), None)
    except (OSError, ValueError) as error:
        raise ConfigError(f"the authority in {folder} cannot be read: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(f"the authority in {folder} is not one of `chatterbox certs`")
    return certificate, key


def _begun(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, *, issuer: x509.Name, lasts: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=key,
        serial_number=x509.random_serial_number(),
        not_valid_before=now - CLOCKS_DIFFER,
        not_valid_after=now + lasts,
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(
    folder: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> list[Path]:
    plain = serialization.NoEncryption()
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain
    )
    paths = [key_path(folder, name), certificate_path(folder, name)]
    handle = os.open(paths[0], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(encoded)
    paths[1].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return paths
