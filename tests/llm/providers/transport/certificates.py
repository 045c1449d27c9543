"""Certificates of a private authority, good ones and bad ones."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = ["Authority"]

_DAY = datetime.timedelta(days=1)


class Authority:
    """Signs certificates for servers."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An authority for tests")])
        now = datetime.datetime.now(datetime.UTC)
        self._certificate = (
            self._builder(self._name, self._key, now - _DAY, now + _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def client_context(self) -> ssl.SSLContext:
        """Return a context that trusts this authority alone."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.pem().decode())
        return context

    def pem(self) -> bytes:
        """Return its own certificate, as a file of trusted ones has it."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def server_context(self, *names: str, address: str | None = "127.0.0.1", expired: bool = False) -> ssl.SSLContext:
        """Return a context with a certificate for these names and this address."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "chain.pem"
            path.write_bytes(self.server_pem(*names, address=address, expired=expired))
            context.load_cert_chain(path)
        return context

    def server_pem(self, *names: str, address: str | None = "127.0.0.1", expired: bool = False) -> bytes:
        """Return a key and a certificate for these names and this address."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        others: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        if address is not None:
            others.append(x509.IPAddress(ipaddress.ip_address(address)))
        certificate = (
            self._builder(x509.Name([]), key, now - 2 * _DAY, now + (-_DAY if expired else _DAY))
            .add_extension(x509.SubjectAlternativeName(others), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        key_pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return key_pem + certificate.public_bytes(serialization.Encoding.PEM)

    def _builder(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, begins: datetime.datetime, ends: datetime.datetime
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
        )
