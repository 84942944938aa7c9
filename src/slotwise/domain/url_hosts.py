"""The host of a URL or of the header `Host`, with its port if it has one (RFC 3986, 3.2.2 and 3.2.3)."""

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address

HIGHEST_PORT = 65535

# The comma is left out: it joins two headers to one, so two programs might read another host.
_LABEL = rb"(?:[A-Za-z0-9_~!$&'()*+;=-]++|%[0-9A-Fa-f]{2})++"
# No label of a name is empty, but a dot may end the name (RFC 1034, 3.1).
_NAME = rb"%(label)s(?:\.%(label)s)*+\.?" % {b"label": _LABEL}
_HOST = re.compile(rb"(?:%b|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])(?::0*+(?P<port>[0-9]{0,5}))?" % _NAME)


@lru_cache(maxsize=256)
def is_host(text: bytes) -> bool:
    """Whether this is a name, an IPv4 or an IPv6 in brackets. After it there may be a colon and a port, or no port."""
    host = _HOST.fullmatch(text)
    if host is None or int(host["port"] or 0) > HIGHEST_PORT:
        return False
    return host["ipv6"] is None or _is_ipv6(host["ipv6"])


def _is_ipv6(text: bytes) -> bool:
    try:
        IPv6Address(text.decode())
    except AddressValueError:
        return False
    return True
