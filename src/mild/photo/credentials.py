"""Content credentials (C2PA): what was done to a photo, signed with the user's own certificate; the extra ``c2pa``.

A manifest of ours says that the photo was opened from a parent and edited. It holds no picture: no thumbnail, and
nothing of the parent's own credentials, whose thumbnails would show who is erased.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mild.errors import MildError, UsageError
from mild.extras import needs
from mild.photo.mark import EDITED, Mark

#: Formats in which c2pa embeds a manifest, by Pillow's names.
MIME = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "TIFF": "image/tiff", "HEIF": "image/heif"}
#: Curve of a key -> algorithm.
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_LONGEST = 1 << 20


@dataclass(frozen=True)
class Signer:
    """Whose certificate signs, by the paths of two PEM files; what is in them is read when it is used, and never kept.

    Attributes:
        cert: the certificate, then those that issued it.
        key: its private key, without a password.
        source: Pillow's name of the format of the photo that was edited; None when it came from no file.
        mark: what is said of the edit.
    """

    cert: str
    key: str
    source: str | None = None
    mark: Mark | None = None

    def check(self, format: str = "PNG") -> None:
        """Refuse, before any work, what could not be signed; signs a picture of a few pixels.

        Raises:
            UsageError: the format holds no content credentials, or the files are no certificate and its key.
            MildError: the extra is missing.
        """
        from PIL import Image

        small = io.BytesIO()
        if format not in MIME:
            raise UsageError(f"{format} holds no content credentials: save a JPEG, PNG, WebP, TIFF or HEIC file.")
        Image.new("RGB", (16, 16), (90, 120, 60)).save(small, "PNG")
        self.signed(small.getvalue(), "PNG")

    def signed(self, data: bytes, format: str) -> bytes:
        """The file with a manifest.

        Args:
            data: the whole file, with all its metadata; nothing of it may be changed afterwards.
            format: Pillow's name of its format.

        Raises:
            UsageError, MildError: as :meth:`check`.
        """
        with needs("Signing content credentials", "c2pa"):
            import c2pa
        certificates, key = _read(self.cert, "certificate"), _read(self.key, "private key")
        algorithm = _algorithm(certificates, key, self)
        settings = {"builder": {"thumbnail": {"enabled": False}}, "verify": {"verify_after_sign": True}}
        out = io.BytesIO()
        try:
            context = c2pa.Context(c2pa.Settings.from_dict(settings))
            builder = c2pa.Builder(json.dumps(manifest(self.source, self.mark)), context)
            signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(algorithm.encode(), certificates, key, None))
            builder.sign(signer, MIME[format], io.BytesIO(data), out)
        except (c2pa.C2paError, ValueError) as error:
            reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            raise MildError(f"The content credentials cannot be signed with {self.cert}: {reason}.") from error
        return out.getvalue()


def manifest(source: str | None, mark: Mark | None) -> dict[str, Any]:
    """What is claimed: opened from its parent, edited by this program."""
    from mild import __version__

    agent = {"name": "MILD", "version": __version__}
    parent = {"title": "the photo before", "relationship": "parentOf", "label": "parent"}
    parent["format"] = MIME.get(source or "", "image/*")
    edited: dict[str, Any] = {"action": "c2pa.edited", "softwareAgent": agent}
    edited["digitalSourceType"] = mark.source_type if mark else EDITED
    if mark and mark.model:
        edited["description"] = f"People were erased; the model {mark.model} filled the place they left."
    opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": ["parent"]}}
    return {
        "claim_generator_info": [agent],
        "ingredients": [parent],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [opened, edited]}}],
    }


def _read(name: str, what: str) -> bytes:
    try:
        with Path(name).open("rb") as file:
            data = file.read(_LONGEST + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no such name"
        raise UsageError(f"The {what} {name} cannot be read ({reason}).") from None
    if len(data) > _LONGEST or b"-----BEGIN" not in data:
        raise UsageError(f"{name} is no {what} in a PEM file.")
    return data


def _algorithm(certificates: bytes, key: bytes, signer: Signer) -> str:
    """How this key signs; c2pa wants to be told."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    try:
        leaf = x509.load_pem_x509_certificates(certificates)[0]
    except Exception:
        raise UsageError(f"{signer.cert} holds no certificate that can be read.") from None
    try:
        private = serialization.load_pem_private_key(key, None)
    except TypeError:
        raise UsageError(f"The private key {signer.key} has a password; MILD takes one without.") from None
    except Exception:
        raise UsageError(f"{signer.key} holds no private key that can be read.") from None
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if private.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        raise UsageError(f"The private key {signer.key} does not belong to the certificate {signer.cert}.")
    if isinstance(private, rsa.RSAPrivateKey):
        return "ps256"
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name in _CURVES:
        return _CURVES[private.curve.name]
    raise UsageError(f"{signer.key} is of a kind that content credentials do not know (EC, RSA or Ed25519).")
