"""Tokens and kept answers, in memory and in PostgreSQL."""

import asyncio
from collections import Counter

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.time import DAY, MINUTE, Micros
from services.triggers.definitions.actors import Forbidden, Role
from services.triggers.definitions.answers import ANSWERS_KEPT, Answer, Answers
from services.triggers.definitions.memory import Tables
from services.triggers.definitions.memory_access import MemoryAnswers, MemoryTokens
from services.triggers.definitions.postgres_access import PostgresAnswers, PostgresTokens
from services.triggers.definitions.token_store import Tokens, TokenStore
from services.triggers.definitions.tokens import Token, TokenUse
from services.triggers.definitions.values import NotFound
from tests.definitions.support import ROOT, START, person


class Clock:
    """Microseconds that stand still until they are moved."""

    def __init__(self) -> None:
        self.now: Micros = START

    def __call__(self) -> Micros:
        return self.now


async def make(
    tokens: Tokens, owner: str = "ann", role: Role = "reviewer", days: int = 7
) -> tuple[Token, str]:
    """A person's token."""
    return await tokens.make(
        by=ROOT, name=f"{owner}'s", owner=owner, person=True, role=role, days=days
    )


class TokenSuite:
    """What every token store does."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def tokens(self, tokens_store: TokenStore, clock: Clock) -> Tokens:
        return Tokens(tokens_store, clock)

    async def test_a_token_stands_for_its_owner_until_it_expires(
        self, tokens: Tokens, clock: Clock
    ) -> None:
        token, secret = await make(tokens)
        actor = await tokens.authenticate(secret)
        assert actor is not None
        assert (actor.id, actor.role, actor.kind, actor.person) == (
            "ann",
            "reviewer",
            "token",
            True,
        )
        assert actor.credential == token.id
        assert secret.startswith(token.prefix)
        assert len(token.prefix) < len(secret) / 3
        clock.now = START + 7 * DAY - 1
        assert await tokens.authenticate(secret) is not None
        clock.now += 1
        assert await tokens.authenticate(secret) is None

    async def test_a_revoked_token_is_refused_at_once(self, tokens: Tokens, clock: Clock) -> None:
        token, secret = await make(tokens)
        _, other = await make(tokens, "ben")
        clock.now += 5
        gone = await tokens.revoke(token.id, by=ROOT)
        assert gone.revoked_at == START + 5
        clock.now += 5
        assert await tokens.revoke(token.id, by=ROOT) == gone
        assert await tokens.authenticate(secret) is None
        assert await tokens.authenticate(other) is not None
        with pytest.raises(NotFound):
            await tokens.revoke("tok_0000000000000000", by=ROOT)

    async def test_what_is_no_secret_of_ours_stands_for_nobody(self, tokens: Tokens) -> None:
        token, secret = await make(tokens)
        for wrong in (
            "",
            secret[:-1],
            secret + "x",
            secret.upper(),
            token.id,
            "cue_",
            "cue_\udcff",
        ):
            assert await tokens.authenticate(wrong) is None

    async def test_it_is_noted_when_a_token_was_used_once_a_minute(
        self, tokens: Tokens, clock: Clock
    ) -> None:
        _, secret = await make(tokens)

        async def used_at() -> Micros | None:
            (use,) = await tokens.page(after="", limit=9)
            return use.last_used_at

        seen = [await used_at()]
        for later in (0, MINUTE - 1, 1):
            clock.now += later
            await tokens.authenticate(secret)
            seen.append(await used_at())
        assert seen == [None, START, START, START + MINUTE]

    async def test_tokens_are_listed_in_pages(self, tokens: Tokens) -> None:
        made = sorted([(await make(tokens, f"p{number}"))[0].id for number in range(5)])
        found: list[str] = []
        while page := await tokens.page(after=found[-1] if found else "", limit=2):
            found += [one.token.id for one in page]
        assert found == made

    async def test_only_administrators_make_and_revoke_tokens(self, tokens: Tokens) -> None:
        token, _ = await make(tokens)
        by = person("ann", "reviewer")
        with pytest.raises(Forbidden):
            await tokens.make(by=by, name="x", owner="x", person=True, role="administrator", days=1)
        with pytest.raises(Forbidden):
            await tokens.revoke(token.id, by=by)


class TestMemoryTokens(TokenSuite):
    """In memory."""

    @pytest.fixture
    def tokens_store(self) -> TokenStore:
        return MemoryTokens(Tables())


class TestPostgresTokens(TokenSuite):
    """In PostgreSQL."""

    @pytest.fixture
    def tokens_store(self, engine: AsyncEngine) -> TokenStore:
        return PostgresTokens(engine)

    async def test_the_secret_stands_nowhere_in_the_database(
        self, tokens: Tokens, engine: AsyncEngine
    ) -> None:
        token, secret = await make(tokens)
        await tokens.authenticate(secret)
        await tokens.revoke(token.id, by=ROOT)
        hidden = secret[len(token.prefix) :]
        async with engine.connect() as connection:
            for table in ("api_tokens", "audit"):
                query = text(f"SELECT string_agg(one::text, ' ') FROM triggers.{table} AS one")
                told = await connection.scalar(query)
                assert token.id in told
                assert hidden not in told


def test_a_use_shows_no_secret() -> None:
    assert not {"secret", "hash"} & {*Token.__struct_fields__, *TokenUse.__struct_fields__}


DONE = Answer(status=201, headers={"content-type": "application/json"}, body=b"{}")


class AnswerSuite:
    """What every store of answers does."""

    async def test_of_many_at_once_one_may_go_on(self, answers: Answers) -> None:
        claims = await asyncio.gather(*(answers.claim("a", "k", b"h", START) for _ in range(12)))
        assert Counter(one.mine for one in claims) == {True: 1, False: 11}

    async def test_what_was_answered_stands_there_for_a_day(self, answers: Answers) -> None:
        await answers.claim("a", "k", b"h", START)
        await answers.keep("a", "k", DONE)
        last = START + ANSWERS_KEPT - 1
        again = await answers.claim("a", "k", b"other", last)
        assert (again.mine, again.hash, again.claimed_at, again.answer) == (
            False,
            b"h",
            START,
            DONE,
        )
        assert (await answers.claim("a", "k", b"other", last + 1)).mine

    async def test_keys_of_others_are_other_keys(self, answers: Answers) -> None:
        for actor, key in (("a", "k"), ("a", "l"), ("b", "k")):
            assert (await answers.claim(actor, key, b"h", START)).mine

    async def test_a_key_given_back_may_be_taken_again(self, answers: Answers) -> None:
        await answers.claim("a", "k", b"h", START)
        await answers.forget("a", "k")
        assert (await answers.claim("a", "k", b"h", START)).mine

    async def test_an_answer_without_its_body_is_kept_so(self, answers: Answers) -> None:
        await answers.claim("a", "k", b"h", START)
        bare = Answer(status=201, headers={}, body=None)
        await answers.keep("a", "k", bare)
        assert (await answers.claim("a", "k", b"h", START)).answer == bare


class TestMemoryAnswers(AnswerSuite):
    """In memory."""

    @pytest.fixture
    def answers(self) -> Answers:
        return MemoryAnswers()


class TestPostgresAnswers(AnswerSuite):
    """In PostgreSQL."""

    @pytest.fixture
    def answers(self, engine: AsyncEngine) -> Answers:
        return PostgresAnswers(engine)

    async def test_old_answers_are_cleared_away(
        self, answers: Answers, engine: AsyncEngine
    ) -> None:
        for number in range(5):
            await answers.claim("a", f"k{number}", b"h", START)
        await answers.claim("b", "k", b"h", START + ANSWERS_KEPT)
        async with engine.connect() as connection:
            assert await connection.scalar(text("SELECT count(*) FROM triggers.answers")) == 1
