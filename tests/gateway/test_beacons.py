"""What a page may tell of itself, and nothing else."""

import orjson
import pytest

from proxy.core.errors import GatewayError, Reason
from proxy.gateway.beacons import read_vitals

MEASURES = frozenset({"boot"})


def test_a_beacon_is_a_path_and_numbers() -> None:
    body = orjson.dumps({"path": "/reports/7?secret=1", "values": {"LCP": 1800, "CLS": 0.02, "boot": 12.5}})
    assert read_vitals(body, MEASURES) == ("/reports/7", {"LCP": 1800.0, "CLS": 0.02, "boot": 12.5})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"path": "/"}',
        b'{"path": "/", "values": {}}',
        b'{"path": "/", "values": [1]}',
        b'{"path": "/", "values": {"LCP": 1}, "more": 1}',
        b'{"path": "https://elsewhere/", "values": {"LCP": 1}}',
        b'{"path": 7, "values": {"LCP": 1}}',
        b'{"path": "/%s", "values": {"LCP": 1}}' % (b"a" * 3000),
        b'{"path": "/", "values": {"lcp": 1}}',
        b'{"path": "/", "values": {"made-up": 1}}',
        b'{"path": "/", "values": {"LCP": "1"}}',
        b'{"path": "/", "values": {"LCP": true}}',
        b'{"path": "/", "values": {"LCP": null}}',
        b'{"path": "/", "values": {"LCP": -1}}',
        b'{"path": "/", "values": {"LCP": 1e9}}',
        b'{"path": "/", "values": {"CLS": 1000}}',
        b'{"path": "/", "values": {"LCP": 1e999}}',
    ],
)
def test_whatever_else_it_is_is_refused(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        read_vitals(body, MEASURES)
    assert caught.value.reason is Reason.MALFORMED
