"""Which visitors get a compressed page or file (RFC 9110, 12.5.3)."""

import pytest

from slotwise.web.kit.assets import accepts_gzip


@pytest.mark.parametrize("header", ["gzip", "GZIP", "x-gzip", "br, gzip", "gzip;q=0.5", "gzip ; q=0.001", "gzip;q=1"])
def test_gzip_is_accepted(header: str) -> None:
    assert accepts_gzip(header)


@pytest.mark.parametrize(
    "header",
    ["", "br", "gzip;q=0", "gzip;q=0.0", "gzip;q=0.000", "gzip;Q=0", "gzip;\tq=0", "br, gzip; q=0.", "gzipped"],
)
def test_gzip_is_not_accepted(header: str) -> None:
    assert not accepts_gzip(header)
