"""OpenID Connect bearer tokens: JWTs checked against the issuer's published keys.

RFC 7519 and 7517; only RS256 and ES256 (RFC 7518), so that no token can choose a weaker way
or pass a public key off as a shared secret.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx
import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from services.contracts.errors import Transient
from services.runtime.logs import get_logger
from services.triggers.definitions.actors import ROLES, Actor, Forbidden, Role

ALGORITHMS: Final = ("RS256", "ES256")
LEEWAY_SECONDS: Final = 30
FETCH_TIMEOUT_SECONDS: Final = 5.0
FETCH_EVERY_SECONDS_MIN: Final = 10.0
"""Keys are fetched again at most so often, whatever tokens are presented."""
KEYS_STALE_SECONDS_MAX: Final = 3600.0
"""How long keys are believed whose issuer cannot be reached."""
KEYS_BYTES_MAX: Final = 256 * 1024
KEYS_MAX: Final = 100
RSA_BITS_MIN: Final = 2048

_log = get_logger(__name__)

Fetch = Callable[[], Awaitable[bytes]]
"""Gives the issuer's JWKS document. May raise `Transient`."""


class OidcSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is believed of whom. `roles` maps values of the role claim; the highest one counts.

    Claims may be dotted paths (`realm_access.roles`).
    """

    issuer: str
    audience: str
    role_claim: str = "roles"
    roles: dict[str, Role]
    id_claim: str = "sub"
    name_claim: str = "name"


def fetch_over_http(url: str) -> Fetch:
    """Fetch the keys from their address; a redirect is not followed."""

    async def fetch() -> bytes:
        body = bytearray()
        try:
            async with (
                httpx.AsyncClient(timeout=FETCH_TIMEOUT_SECONDS) as client,
                client.stream("GET", url) as answer,
            ):
                if answer.status_code != httpx.codes.OK:
                    raise Transient(f"the issuer's keys: HTTP {answer.status_code}")
                async for part in answer.aiter_bytes():
                    body += part
                    if len(body) > KEYS_BYTES_MAX:
                        raise Transient(f"the issuer's keys are longer than {KEYS_BYTES_MAX} bytes")
        except httpx.HTTPError as error:
            raise Transient(f"the issuer's keys: {type(error).__name__}") from error
        return bytes(body)

    return fetch


class Keys:
    """The issuer's keys by their ids, fetched again when they are old or one is not known.

    `now` gives seconds that only grow.
    """

    def __init__(self, fetch: Fetch, *, seconds: float, now: Callable[[], float]) -> None:
        self._fetch = fetch
        self._seconds = seconds
        self._now = now
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._turn = asyncio.Lock()

    async def key(self, id_: str | None) -> jwt.PyJWK | None:
        """The key of this id; without an id the only one there is.

        Raises:
            Transient: the issuer cannot be reached, and what is known of it is too old.
        """
        if self._stale() or self._named(id_) is None:
            async with self._turn:
                if self._stale() or self._named(id_) is None:
                    await self._refresh()
        return self._named(id_)

    def _named(self, id_: str | None) -> jwt.PyJWK | None:
        if id_ is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(id_)

    def _stale(self) -> bool:
        return self._fetched_at is None or self._now() - self._fetched_at >= self._seconds

    async def _refresh(self) -> None:
        now = self._now()
        if self._tried_at is None or now - self._tried_at >= FETCH_EVERY_SECONDS_MIN:
            self._tried_at = now
            try:
                self._keys = read_keys(await self._fetch())
            except Transient as error:
                _log.warning("keys of the OIDC issuer cannot be fetched", reason=str(error))
            else:
                self._fetched_at = now
        if self._fetched_at is None or now - self._fetched_at >= KEYS_STALE_SECONDS_MAX:
            self._keys = {}
            raise Transient("the keys of the OIDC issuer cannot be fetched")


def read_keys(document: bytes) -> dict[str | None, jwt.PyJWK]:
    """The keys of a JWKS document that may sign tokens here; others are passed over.

    Raises:
        Transient: it is no such document; the issuer may put it right.
    """
    try:
        listed = msgspec.json.decode(document)["keys"][:KEYS_MAX]
        given = [one for one in listed if isinstance(one, dict)]
    except (msgspec.DecodeError, TypeError, KeyError, RecursionError, UnicodeDecodeError) as error:
        raise Transient("the issuer's keys cannot be read") from error
    keys: dict[str | None, jwt.PyJWK] = {}
    for one in given:
        if one.get("use", "sig") != "sig" or one.get("kty") not in ("RSA", "EC"):
            continue
        try:
            key = jwt.PyJWK(one)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue
        if key.algorithm_name not in ALGORITHMS:
            continue
        if isinstance(key.key, RSAPublicKey) and key.key.key_size < RSA_BITS_MIN:
            continue
        keys[key.key_id] = key
    return keys


class Oidc:
    """Recognises people by their issuer's tokens."""

    def __init__(self, settings: OidcSettings, keys: Keys) -> None:
        self._settings = settings
        self._keys = keys

    async def authenticate(self, presented: str) -> Actor | None:
        """Whom it stands for, None for nobody.

        Raises:
            Forbidden: the issuer vouches for somebody who has no role here.
            Transient: the issuer's keys cannot be had.
        """
        if presented.count(".") != 2:
            return None
        try:
            header = jwt.get_unverified_header(presented)
            if header.get("alg") not in ALGORITHMS:
                return None
            key = await self._keys.key(header.get("kid"))
            if key is None:
                return None
            claims = jwt.decode(
                presented,
                key,
                algorithms=list(ALGORITHMS),
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            return None
        return self._actor(claims)

    def _actor(self, claims: dict[str, Any]) -> Actor | None:
        id_ = claim_of(claims, self._settings.id_claim)
        if not isinstance(id_, str) or not id_:
            return None
        name = claim_of(claims, self._settings.name_claim)
        role = self._role(claim_of(claims, self._settings.role_claim))
        if role is None:
            raise Forbidden("your account has no role here", code="no_role")
        shown = name if isinstance(name, str) and name else id_
        return Actor(id=id_, name=shown, role=role, kind="oidc", person=True)

    def _role(self, claimed: object) -> Role | None:
        values = claimed.split() if isinstance(claimed, str) else claimed
        if not isinstance(values, list):
            return None
        texts = [one for one in values if isinstance(one, str)]
        found = {self._settings.roles[one] for one in texts if one in self._settings.roles}
        return max(found, key=ROLES.index, default=None)


def claim_of(claims: dict[str, Any], path: str) -> object:
    """The claim at a dotted path, or of that very name; None where there is none."""
    if path in claims:
        return claims[path]
    value: object = claims
    for part in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value
