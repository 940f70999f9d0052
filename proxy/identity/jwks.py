"""The keys of each issuer, from its URL, its file and its secrets, kept fresh.

A source is loaded by one task at a time, which never stands in the way of a token whose key is known. ``keyschedule``
decides when, ``keyfetch`` does it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final

import aiohttp

from proxy.core.clock import Clock
from proxy.identity import keyfetch, keys
from proxy.identity.keyfetch import FetchFailed, Loaded
from proxy.identity.keys import BadKey, Key
from proxy.identity.keyschedule import KeySchedule
from proxy.policy import model

MAX_TRIES: Final = 16  # keys without an id that one token may be tried against

_log = logging.getLogger(__name__)


class KeysUnavailable(Exception):
    """No key of the issuer is to be had now, so that nothing can be said of its tokens."""

    def __init__(self, retry_after_ms: int) -> None:
        super().__init__(retry_after_ms)
        self.retry_after_ms = retry_after_ms


class KeySource:
    """One JWK set that is loaded again and again."""

    def __init__(
        self,
        name: str,
        load: Callable[[], Awaitable[Loaded]],
        read: Callable[[bytes], tuple[Key, ...]],
        clock: Clock,
        *,
        symmetric: bool,
    ) -> None:
        self.name = name
        self.symmetric = symmetric  # whether it may hold shared secrets
        self.keys: tuple[Key, ...] = ()
        self.trouble: str | None = None  # why the last load failed
        self._load = load
        self._read = read
        self._clock = clock
        self._schedule = KeySchedule()
        self._task: asyncio.Task[None] | None = None

    def tend(self) -> None:
        """Begin a load in the background if one is due, and let go of keys that are too old."""
        now = self._clock.monotonic_ms()
        if self.keys and not self._schedule.has_keys(now):
            self._replace(())
        if self._task is None and self._schedule.is_due(now):
            self._begin(now)

    async def renew(self) -> bool:
        """Load again because a token's key is not known, unless that was just done; whether a load has ended since.

        Raises: KeysUnavailable where the set as it is now cannot be had, so that nobody knows whether the key is in it.
        """
        task = self._task
        if task is None:
            now = self._clock.monotonic_ms()
            wait = self._schedule.wait_ms(now)
            if wait:
                if self.trouble is None:
                    return False
                raise KeysUnavailable(wait)
            task = self._begin(now)
        await asyncio.shield(task)  # others wait for it too
        if self.trouble is not None:
            raise KeysUnavailable(self._schedule.wait_ms(self._clock.monotonic_ms()))
        return True

    def accept(self, loaded: Loaded) -> None:
        """Take what was loaded. Raises: BadKey, and the old keys stay."""
        self._replace(self._read(loaded.raw))
        self._schedule.succeed(self._clock.monotonic_ms(), loaded.life_ms)
        self.trouble = None

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _begin(self, now: float) -> asyncio.Task[None]:
        self._schedule.begin(now)
        self._task = asyncio.create_task(self._run(), name=f"keys of {self.name}")
        return self._task

    async def _run(self) -> None:
        try:
            self.accept(await self._load())
        except (FetchFailed, BadKey) as error:
            self._fail(str(error))
        except Exception as error:  # noqa: BLE001 - a background task ends here, and reports
            self._fail(f"unexpected {type(error).__name__}")
        finally:
            self._task = None

    def _fail(self, why: str) -> None:
        self.trouble = why
        self._schedule.fail()
        _log.warning("keys of %s could not be loaded: %s", self.name, why)

    def _replace(self, new: tuple[Key, ...]) -> None:
        """A key that stays keeps its object, and so the tokens that it verified; one that goes is trusted no more."""
        known = {key.print: key for key in self.keys}
        self.keys = tuple(known.pop(key.print, key) for key in new)
        for gone in known.values():
            gone.trusted = False


class IssuerKeys:
    """All keys of one issuer: secrets, and sources that are loaded."""

    def __init__(self, secrets: Iterable[Key], sources: Iterable[KeySource]) -> None:
        self._secrets = tuple(secrets)
        self.sources = tuple(sources)

    def tend(self) -> None:
        for source in self.sources:
            source.tend()

    def fitting(self, kid: str | None, algorithm: str) -> list[Key]:
        """Keys that may verify such a token, those of its key id first; keys without an id fit every token."""
        named: list[Key] = []
        unnamed: list[Key] = []
        for keys_ in (self._secrets, *(source.keys for source in self.sources)):
            for key in keys_:
                if algorithm in key.algorithms:
                    if kid is None or key.kid is None:
                        unnamed.append(key)
                    elif key.kid == kid:
                        named.append(key)
        return named + unnamed[:MAX_TRIES]

    def knows(self, kid: str) -> bool:
        """Whether a loaded set has a key of this id."""
        return any(key.kid == kid for source in self.sources for key in source.keys)

    async def renew(self, algorithm: str) -> bool:
        """Load again what may hold a key for this algorithm; whether anything may be new. Raises: KeysUnavailable."""
        able = [source for source in self.sources if source.symmetric or algorithm not in keys.HMAC_BYTES]
        results = await asyncio.gather(*(source.renew() for source in able), return_exceptions=True)
        if True in results:
            return True
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return False

    async def close(self) -> None:
        for source in self.sources:
            await source.close()


KeyPlaces = tuple[str, tuple[str, ...], str | None, str | None, tuple[str, ...]]


def _places(issuer: model.Issuer) -> KeyPlaces:
    """All of an issuer that its keys depend on: a change of the rest of it keeps them."""
    return issuer.issuer, issuer.algorithms, issuer.jwks_url, issuer.jwks_file, issuer.secrets


class KeySets:
    """The keys of all issuers of a worker. Kept across reloads, so that an issuer that stays keeps its keys."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._issuers: dict[KeyPlaces, IssuerKeys] = {}
        self._session: aiohttp.ClientSession | None = None

    def of(self, issuer: model.Issuer) -> IssuerKeys:
        """The issuer's keys, the same object each time. Raises: BadKey for keys that must not be used."""
        places = _places(issuer)
        found = self._issuers.get(places)
        if found is None:
            found = self._issuers[places] = self._make(issuer)
        return found

    async def keep_only(self, issuers: Iterable[model.Issuer]) -> None:
        """Forget issuers that a new policy does not have."""
        kept = {_places(issuer) for issuer in issuers}
        for places in [known for known in self._issuers if known not in kept]:
            await self._issuers.pop(places).close()

    async def close(self) -> None:
        await self.keep_only(())
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _make(self, issuer: model.Issuer) -> IssuerKeys:
        unknown = sorted(set(issuer.algorithms) - keys.ALGORITHMS)
        if unknown:
            raise BadKey(f"issuer {issuer.issuer}: unknown algorithm {unknown[0]}")
        if not (issuer.secrets or issuer.jwks_url or issuer.jwks_file):
            raise BadKey(f"issuer {issuer.issuer}: there is neither a key set nor a secret")
        try:
            secrets = [keys.import_secret(secret, issuer.algorithms) for secret in issuer.secrets]
            sources = [*self._file_source(issuer), *self._url_source(issuer)]
        except BadKey as error:
            raise BadKey(f"issuer {issuer.issuer}: {error}") from error
        return IssuerKeys(secrets, sources)

    def _file_source(self, issuer: model.Issuer) -> list[KeySource]:
        if issuer.jwks_file is None:
            return []
        path = Path(issuer.jwks_file)

        async def load() -> Loaded:
            return await asyncio.to_thread(keyfetch.read_file, path)

        def read(raw: bytes) -> tuple[Key, ...]:
            return keys.import_jwks(raw, allowed=issuer.algorithms, symmetric=True, strict=True)

        source = KeySource(str(path), load, read, self._clock, symmetric=True)
        try:
            source.accept(keyfetch.read_file(path))
        except (FetchFailed, BadKey) as error:
            raise BadKey(f"{path}: {error}") from error
        return [source]

    def _url_source(self, issuer: model.Issuer) -> list[KeySource]:
        if issuer.jwks_url is None:
            return []
        url = keyfetch.checked_url(issuer.jwks_url)

        async def load() -> Loaded:
            if self._session is None:
                self._session = keyfetch.new_session()
            return await keyfetch.fetch(self._session, url)

        def read(raw: bytes) -> tuple[Key, ...]:
            return keys.import_jwks(raw, allowed=issuer.algorithms, symmetric=False)

        return [KeySource(f"{url.host}{url.path}", load, read, self._clock, symmetric=False)]
