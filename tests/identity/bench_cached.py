"""What a credential that was seen before costs: ``python -m tests.identity.bench_cached`` prints microseconds.

Header values are new texts each time, as a parser makes them, so that their hash is not known yet.
"""

import asyncio
import hashlib
import sys
import time

from multidict import CIMultiDictProxy

from proxy.core.clock import SystemClock
from proxy.core.identity import Identity
from proxy.identity.address import CallerFinder
from proxy.identity.authenticator import Authenticator
from proxy.identity.jwks import KeySets
from proxy.policy.model import AuthMode, GatewayKey
from tests.identity.conftest import ADDRESS, TIERS, claims, fields, hs256, policy
from tests.identity.test_address import TRUSTED

ROUNDS = 20_000
KEY = "sk-slg-0123456789abcdef0123456789abcdef"
COMMON = (("Host", "app.example"), ("User-Agent", "bench"), ("Accept", "*/*"), ("Accept-Encoding", "gzip"))


def least(made: Authenticator, pairs: list[tuple[str, str]], auth: AuthMode, expected: Identity) -> float:
    """The least of three rounds, microseconds a call."""
    best = float("inf")
    for _ in range(3):
        sections: list[CIMultiDictProxy[str]] = [
            fields(*COMMON, *((name, "".join(value)) for name, value in pairs)) for _ in range(ROUNDS)
        ]
        begun = time.perf_counter()
        for headers in sections:
            found = made.cached(headers, ADDRESS, auth)
        best = min(best, time.perf_counter() - begun)
        assert found is expected
    return best / ROUNDS * 1e6


async def main() -> None:
    now = int(time.time())
    token = hs256(claims(iat=now, exp=now + 3600, pad="x" * 500))
    key = GatewayKey("k", ((hashlib.sha256(KEY.encode()).hexdigest(), None),), "acme", None, "pro", ("*",), None)
    keysets = KeySets(SystemClock())
    plain = Authenticator(policy(), SystemClock(), keysets, tiers=TIERS)
    keyed = Authenticator(policy(keys=(key,)), SystemClock(), keysets, tiers=TIERS)
    bearer, cookie = [("Authorization", f"Bearer {token}")], [("Cookie", f"a=b; sb-p-auth-token={token}")]
    for name, made, pairs, auth in (
        ("token", plain, bearer, AuthMode.REQUIRED),
        ("token, tenant chosen", plain, [*bearer, ("X-Tenant-ID", "globex")], AuthMode.REQUIRED),
        ("token, policy with gateway keys", keyed, bearer, AuthMode.REQUIRED),
        ("cookie", plain, cookie, AuthMode.REQUIRED),
        ("gateway key", keyed, [("Authorization", f"Bearer {KEY}")], AuthMode.REQUIRED),
        ("gateway key for a tenant", keyed, [("x-api-key", KEY), ("Sluicegate-Tenant", "t")], AuthMode.REQUIRED),
        ("nobody", plain, [], AuthMode.OPTIONAL),
    ):
        expected = await made.identify(fields(*COMMON, *pairs), ADDRESS, auth)
        sys.stdout.write(f"{name:34} {least(made, pairs, auth, expected):6.2f} µs\n")
    finder = CallerFinder(TRUSTED)
    told = fields(*COMMON, ("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https"))
    for name, peer in (("address, peer itself", "192.0.2.1"), ("address, behind a proxy", "10.0.0.1")):
        begun = time.perf_counter()
        for _ in range(ROUNDS):
            finder.find(peer, told)
        sys.stdout.write(f"{name:34} {(time.perf_counter() - begun) / ROUNDS * 1e6:6.2f} µs\n")
    await keysets.close()


if __name__ == "__main__":
    asyncio.run(main())
