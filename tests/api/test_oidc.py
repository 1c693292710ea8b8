"""JWTs of an OIDC issuer: the right ones let in, all others do not, and keys may change."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.contracts.errors import Transient
from services.triggers.api.oidc import (
    FETCH_EVERY_SECONDS_MIN,
    KEYS_BYTES_MAX,
    KEYS_STALE_SECONDS_MAX,
    Keys,
    Oidc,
    OidcSettings,
    fetch_over_http,
    read_keys,
)
from services.triggers.definitions.actors import Forbidden
from tests.api.conftest import World, client_of, make_access, make_api

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SHORT = rsa.generate_private_key(public_exponent=65537, key_size=1024)
EC = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())
SETTINGS = OidcSettings(
    issuer="https://id.example",
    audience="cuestream",
    role_claim="realm_access.roles",
    roles={"marketing": "operator", "leads": "reviewer", "root": "administrator"},
)
KEYS_SECONDS = 300.0


def public(key: Any, id_: str, **more: Any) -> dict[str, Any]:
    """Its JWK."""
    algorithm = (
        jwt.algorithms.RSAAlgorithm if hasattr(key, "decrypt") else jwt.algorithms.ECAlgorithm
    )
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": id_, **more}


class Issuer:
    """Publishes keys, on a clock that is moved by hand."""

    def __init__(self) -> None:
        self.keys: list[Any] = [public(RSA, "rsa"), public(EC, "ec", use="sig", alg="ES256")]
        self.away = False
        self.fetched = 0
        self.now = 1000.0
        self.oidc = Oidc(SETTINGS, Keys(self._fetch, seconds=KEYS_SECONDS, now=lambda: self.now))

    async def _fetch(self) -> bytes:
        self.fetched += 1
        if self.away:
            raise Transient("away")
        return json.dumps({"keys": self.keys}).encode()


def claims(**changes: Any) -> dict[str, Any]:
    """What a good token says."""
    now = time.time()
    said = {
        "iss": "https://id.example",
        "aud": ["other", "cuestream"],
        "sub": "ann-1",
        "name": "Ann",
        "exp": now + 600,
        "iat": now,
        "realm_access": {"roles": ["marketing", "leads", "unknown"]},
    } | changes
    return {name: value for name, value in said.items() if value is not None}


def signed(
    key: Any = RSA, id_: str | None = "rsa", algorithm: str = "RS256", **changes: Any
) -> str:
    """A token."""
    headers = {} if id_ is None else {"kid": id_}
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers=headers)


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.mark.parametrize("token", [signed(), signed(EC, "ec", "ES256")], ids=["RS256", "ES256"])
async def test_a_good_token_stands_for_a_person_with_the_highest_role(
    issuer: Issuer, token: str
) -> None:
    actor = await issuer.oidc.authenticate(token)
    assert actor is not None
    assert (actor.id, actor.name, actor.role, actor.kind) == ("ann-1", "Ann", "reviewer", "oidc")
    assert actor.person
    await issuer.oidc.authenticate(token)
    assert issuer.fetched == 1


def unsigned(**header: Any) -> str:
    """A token that nobody signed."""
    parts = [{"typ": "JWT", **header}, claims()]
    encoded = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in parts]
    return (b".".join(encoded) + b".").decode()


def _confused() -> str:
    """HS256 with the public key as its secret: what a lenient reader accepts."""
    pem = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    parts = [{"alg": "HS256", "kid": "rsa"}, claims()]
    body = b".".join(
        base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in parts
    )
    mac = base64.urlsafe_b64encode(hmac.new(pem, body, hashlib.sha256).digest()).rstrip(b"=")
    return (body + b"." + mac).decode()


GOOD = signed()
BAD = {
    "expired": signed(exp=time.time() - 60),
    "not yet": signed(nbf=time.time() + 600),
    "other issuer": signed(iss="https://evil.example"),
    "other audience": signed(aud="somebody else"),
    "no audience": signed(aud=None),
    "no expiry": signed(exp=None),
    "no issuer": signed(iss=None),
    "nobody": signed(sub=None),
    "empty id": signed(name="x", sub=""),
    "other key": signed(OTHER, "ec", "ES256"),
    "unknown key": signed(id_="gone"),
    "other algorithm": signed(algorithm="RS512"),
    "pss": signed(algorithm="PS256"),
    "none": unsigned(alg="none", kid="rsa"),
    "no algorithm": unsigned(kid="rsa"),
    "confused": _confused(),
    "key of another kind": unsigned(alg="ES256", kid="rsa"),
    "cut": GOOD[:-4],
    "changed": GOOD.rpartition(".")[0][:-3] + "AAA." + GOOD.rpartition(".")[2],
    "no json": "a.b.c",
    "empty parts": "..",
    "deep": base64.urlsafe_b64encode(b"[" * 4000).decode().rstrip("=") + ".e30.x",
    "kid of another type": unsigned(alg="RS256", kid=["rsa"]),
    "not ascii": "ä.ö.ü",
    "lone surrogate": "\udcff.a.b",
}


@pytest.mark.parametrize("name", BAD)
async def test_any_other_token_stands_for_nobody(issuer: Issuer, name: str) -> None:
    assert await issuer.oidc.authenticate(BAD[name]) is None


@pytest.mark.parametrize("roles", [None, [], ["unknown"], "unknown", 7, {"marketing": True}])
async def test_somebody_without_a_role_here_is_forbidden(issuer: Issuer, roles: Any) -> None:
    with pytest.raises(Forbidden) as refused:
        await issuer.oidc.authenticate(signed(realm_access={"roles": roles}))
    assert refused.value.code == "no_role"


async def test_roles_may_be_one_text_with_blanks(issuer: Issuer) -> None:
    token = signed(realm_access={"roles": "marketing other"}, name=None)
    actor = await issuer.oidc.authenticate(token)
    assert actor is not None
    assert (actor.role, actor.name) == ("operator", "ann-1")


async def test_a_new_key_is_fetched_but_not_for_every_stranger(issuer: Issuer) -> None:
    await issuer.oidc.authenticate(signed())
    issuer.keys = [public(OTHER, "new")]
    token = signed(OTHER, "new", "ES256")
    for _ in range(50):
        assert await issuer.oidc.authenticate(token) is None
    assert issuer.fetched == 1, "keys are fetched at most every few seconds"
    issuer.now += FETCH_EVERY_SECONDS_MIN
    assert await issuer.oidc.authenticate(token) is not None
    assert issuer.fetched == 2
    # The old key is no longer published, so that it is no longer believed.
    assert await issuer.oidc.authenticate(signed()) is None


async def test_a_key_taken_back_is_refused_once_the_keys_are_old(issuer: Issuer) -> None:
    await issuer.oidc.authenticate(signed())
    issuer.keys = []
    issuer.now += KEYS_SECONDS - 1
    assert await issuer.oidc.authenticate(signed()) is not None
    issuer.now += 1
    assert await issuer.oidc.authenticate(signed()) is None


async def test_an_issuer_that_is_away_is_believed_for_an_hour(issuer: Issuer) -> None:
    await issuer.oidc.authenticate(signed())
    issuer.away = True
    issuer.now += KEYS_STALE_SECONDS_MAX - 1
    assert await issuer.oidc.authenticate(signed()) is not None
    issuer.now += FETCH_EVERY_SECONDS_MIN
    with pytest.raises(Transient):
        await issuer.oidc.authenticate(signed())
    with pytest.raises(Transient):
        await issuer.oidc.authenticate(signed())
    issuer.away = False
    issuer.now += FETCH_EVERY_SECONDS_MIN
    assert await issuer.oidc.authenticate(signed()) is not None


async def test_an_issuer_that_never_answered_is_a_reason_to_come_again(issuer: Issuer) -> None:
    issuer.away = True
    with pytest.raises(Transient):
        await issuer.oidc.authenticate(signed())


async def test_without_an_id_the_only_key_is_taken(issuer: Issuer) -> None:
    assert await issuer.oidc.authenticate(signed(id_=None)) is None
    issuer = Issuer()
    issuer.keys = issuer.keys[:1]
    assert await issuer.oidc.authenticate(signed(id_=None)) is not None


def test_only_keys_that_may_sign_here_are_read() -> None:
    listed = [
        public(RSA, "good"),
        public(RSA, "for encryption", use="enc"),
        public(RSA, "other algorithm", alg="RS512"),
        public(SHORT, "short"),
        public(ec.generate_private_key(ec.SECP384R1()), "other curve"),
        {"kty": "oct", "kid": "shared", "k": "c2VjcmV0"},
        {"kty": "RSA", "kid": "broken", "n": "!", "e": 7},
        {"kid": "nothing"},
        7,
    ]
    assert list(read_keys(json.dumps({"keys": listed}).encode())) == ["good"]


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"keys": 7}', b"\xff", b"[" * 9999])
def test_what_is_no_set_of_keys_is_asked_for_again(document: bytes) -> None:
    with pytest.raises(Transient):
        read_keys(document)


async def test_people_of_the_issuer_work_with_the_api(world: World, issuer: Issuer) -> None:
    app = make_api(world.definitions, make_access(oidc=issuer.oidc))
    async with client_of(app, signed()) as ann:
        assert (await ann.get("/v1/triggers")).status_code == 200
        refused = await ann.get("/v1/tokens")
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    async with client_of(app, signed(realm_access=None)) as stranger:
        refused = await stranger.get("/v1/triggers")
        assert (refused.status_code, refused.json()["code"]) == (403, "no_role")
    async with client_of(app, BAD["expired"]) as late:
        assert (await late.get("/v1/triggers")).status_code == 401
    issuer.away = True
    issuer.now += KEYS_STALE_SECONDS_MAX
    async with client_of(app, signed()) as ann:
        refused = await ann.get("/v1/triggers")
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", None),
        (b"HTTP/1.1 500 Sorry\r\nContent-Length: 0\r\n\r\n", "HTTP 500"),
        (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "HTTP 302"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (KEYS_BYTES_MAX + 1), "longer than"),
        (b"", "RemoteProtocolError"),
    ],
    ids=["good", "error", "redirect", "endless", "nothing"],
)
async def test_keys_are_fetched_from_their_address_and_no_more_than_is_sound(
    answer: bytes, problem: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        fetch = fetch_over_http(f"http://127.0.0.1:{port}/keys")
        if problem is None:
            assert await fetch() == b"{}"
        else:
            with pytest.raises(Transient, match=problem):
                await fetch()
    if problem is None:
        with pytest.raises(Transient, match="ConnectError"):
            await fetch()
