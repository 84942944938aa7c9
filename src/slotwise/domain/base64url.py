"""Base64url without padding (RFC 4648, 5), in one spelling: Python's decoder ignores what does not belong to it."""

import base64


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode(text: str) -> bytes:
    """Raises `ValueError` for every text that `encode` does not make: padding, spaces, spare bits, other letters."""
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode(data) != text:
        raise ValueError("another spelling")
    return data
