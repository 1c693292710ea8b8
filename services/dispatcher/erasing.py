"""What the dispatcher knows of a person, table by table, to be forgotten."""

from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.codec import decode_json
from services.contracts.command import Erased
from services.contracts.errors import Malformed
from services.contracts.event import PERSON_CHARS_MAX
from services.runtime.erasing import Erasures, Step

SCHEMA: Final = "dispatcher"

_decoder: Final = msgspec.json.Decoder(Erased)
_DIGEST: Final = "'erased:' || encode(sha256(convert_to(s.person, 'UTF8')), 'hex')"

STEPS: Final = (
    # What waits is taken back: that leaves no dead letter, which would hold the command.
    Step(
        name="sends_taken_back",
        sql="""
        UPDATE dispatcher.sends s SET state = 'failed', reason = 'cancelled', lease_until = 0,
            finished_at = s.decided_at, reported_at = NULL
        WHERE s.person = :person AND s.state = 'pending' AND s.decided_at <= :at
        """,
    ),
    # Of what is done and told, the ledger keeps that it was: nothing is sent twice.
    Step(
        name="sends_without_person",
        sql=f"""
        UPDATE dispatcher.sends s SET person = {_DIGEST}, command = NULL, address = NULL,
            provider_id = NULL
        WHERE s.person = :person AND s.reported_at IS NOT NULL AND s.decided_at <= :at
        """,  # noqa: S608  (our own text)
    ),
    # A message is made later than it was decided.
    Step(
        name="inbox",
        sql="""
        DELETE FROM dispatcher.inbox i WHERE i.person = :person AND (i.created_at <= :at OR EXISTS (
            SELECT FROM dispatcher.sends s WHERE s.send_id = i.message_id AND s.decided_at <= :at))
        """,
    ),
    Step(
        name="tasks",
        sql="DELETE FROM dispatcher.tasks WHERE person = :person AND created_at <= :at",
    ),
    Step(
        name="moved",
        sql="DELETE FROM dispatcher.moved"
        " WHERE (person = :person OR goes_to = :person) AND at <= :at",
    ),
)


def decode_erased(value: bytes | None) -> Erased:
    """Decode and check a record of kind `erased/1`.

    Raises:
        Malformed: `bad_erased` or `newer_schema`.
    """
    if value is None:
        raise Malformed("bad_erased", "the record has no value")
    erased = decode_json(value, _decoder, "erased")
    if not 0 < len(erased.person) <= PERSON_CHARS_MAX or "\0" in erased.person:
        raise Malformed("bad_erased", "person is empty, too long or holds NUL")
    return erased


def erasures_of(engine: AsyncEngine) -> Erasures:
    """Erasures in the dispatcher's schema."""
    return Erasures(engine, SCHEMA, STEPS)
