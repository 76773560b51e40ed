"""Certificates for signing, made when they are needed; nothing of the tests' other helpers is imported."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any


def chain(folder: Path, kind: str = "ec", password: bytes | None = None) -> tuple[Path, Path]:
    """A certificate for signing, issued by a root of our own, and its key: ``(cert.pem, key.pem)``."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def name(text: str) -> x509.Name:
        return x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tests"), x509.NameAttribute(NameOID.COMMON_NAME, text)]
        )

    root, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    if kind == "rsa":
        key = rsa.generate_private_key(65537, 2048)
    elif kind == "ed25519":
        key = ed25519.Ed25519PrivateKey.generate()
    begin = datetime.datetime(2024, 1, 1)
    uses = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign"
    )
    usage = dict.fromkeys(f"{uses} encipher_only decipher_only".split(), False)

    def certificate(whose: Any, subject: str, used: dict[str, bool], issuer: bool) -> Any:
        made = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name("root"))
        made = made.public_key(whose.public_key()).serial_number(x509.random_serial_number())
        made = made.not_valid_before(begin).not_valid_after(begin + datetime.timedelta(days=20000))
        made = made.add_extension(x509.BasicConstraints(issuer, None), True).add_extension(x509.KeyUsage(**used), True)
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(whose.public_key()), False)
        made = made.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), False)
        if not issuer:
            made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
        return made.sign(root, hashes.SHA256())

    leaf = certificate(key, "leaf", usage | {"digital_signature": True}, False)
    top = certificate(root, "root", usage | {"key_cert_sign": True, "crl_sign": True}, True)
    pem = serialization.Encoding.PEM
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(leaf.public_bytes(pem) + top.public_bytes(pem))
    key_file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, hidden))
    return cert_file, key_file
