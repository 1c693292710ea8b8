"""What the read API answers."""

from typing import Any, Self

from pydantic import BaseModel, Field

from services.contracts.profile import Consent, Profile
from services.contracts.time import Micros, from_micros


class Source(BaseModel):
    """The place in the log a snapshot comes from."""

    partition: int
    offset: int


class ConsentOut(BaseModel):
    """Proof of one answer, as far as the event by which it was given said."""

    answer: bool
    at: str
    event_id: str
    source: str
    wording: str
    method: str

    @classmethod
    def of(cls, proof: Consent) -> Self:
        """From the stored proof."""
        return cls(
            answer=proof.answer,
            at=written(proof.at),
            event_id=proof.event_id,
            source=proof.source,
            wording=proof.wording,
            method=proof.method,
        )


class ProfileOut(BaseModel):
    """One person's profile. Times are UTC, RFC 3339 with microseconds."""

    person: str
    user_id: str | None
    anonymous_id: str | None
    traits: dict[str, Any]
    consents: dict[str, ConsentOut] = Field(description="the answers that stand, with proof")
    tags: dict[str, Any] = Field(description="tag values as of `as_of`")
    approximate: list[str] = Field(description="tags whose value is an estimate")
    segments: list[str] = Field(description="those that the person is in")
    messages_accepted: int
    messages_failed: int
    last_message_at: str | None
    as_of: str = Field(examples=["2026-03-01T12:00:00.000000Z"])
    first_seen_at: str
    last_seen_at: str
    revision: int = Field(description="of the definitions the tags were computed under")
    source: Source

    @classmethod
    def of(cls, profile: Profile) -> Self:
        """From the stored profile."""
        return cls(
            person=profile.person,
            user_id=profile.user_id,
            anonymous_id=profile.anonymous_id,
            traits=profile.traits,
            consents={name: ConsentOut.of(one) for name, one in profile.consents.items()},
            tags=profile.tags,
            approximate=list(profile.approximate),
            segments=list(profile.segments),
            messages_accepted=profile.messages_accepted,
            messages_failed=profile.messages_failed,
            last_message_at=(
                None if profile.last_message_at is None else written(profile.last_message_at)
            ),
            as_of=written(profile.as_of),
            first_seen_at=written(profile.first_seen_at),
            last_seen_at=written(profile.last_seen_at),
            revision=profile.revision,
            source=Source(partition=profile.source_partition, offset=profile.source_offset),
        )


class ProfilePage(BaseModel):
    """Some profiles, and where to go on."""

    profiles: list[ProfileOut]
    next_cursor: str | None = Field(description="for the next page; null on the last")


def written(at: Micros) -> str:
    """RFC 3339, UTC, with microseconds."""
    return from_micros(at).isoformat(timespec="microseconds").replace("+00:00", "Z")
