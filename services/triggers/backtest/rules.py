"""The definitions of a backtest: those in force, and those in force with the draft among them."""

from collections.abc import Iterable
from typing import Final

import msgspec

from services.contracts.codec import decode_json
from services.contracts.definitions import DEFAULT_POLICY, Bundle, DefinitionRecord
from services.contracts.errors import CuestreamError, DefinitionError, Malformed
from services.contracts.topics import DEFINITIONS
from services.runtime.settings import KafkaSettings
from services.runtime.topic_reading import read_topic
from services.triggers.definitions.values import Definition, kind_of, make_bundle
from services.triggers.engine import Rules, compile_rules
from services.triggers.worker.definitions import DefinitionHistory

READ_SECONDS_MAX: Final = 60.0


def refused(error: DefinitionError) -> CuestreamError:
    """What cannot be right, a line for each place."""
    return CuestreamError("\n".join(f"{place}: {reason}" for place, reason in error.problems))


async def read_topic_bundle(settings: KafkaSettings) -> Bundle:
    """What the topic `definitions` says is in force.

    Raises:
        Transient: the broker fails.
        CuestreamError: a definition in force cannot be read.
    """
    history, decoder = DefinitionHistory(), msgspec.json.Decoder(DefinitionRecord)
    async for record in read_topic(settings, DEFINITIONS, timeout_seconds=READ_SECONDS_MAX):
        if record.value is None:
            continue
        try:
            history.add(decode_json(record.value, decoder, "definition"))
        except Malformed:
            history.add_unreadable(record.key)
    try:
        return history.bundle_at(history.head)
    except DefinitionError as error:
        raise refused(error) from error


def bundle_of(definitions: Iterable[Definition], over: Bundle | None = None) -> Bundle:
    """These over those of another bundle: of one kind and id the last one counts.

    As everywhere, the default policy is in force where none of its id is given.
    """
    base: list[Definition] = [DEFAULT_POLICY]
    if over is not None:
        base = [over.workspace, *over.triggers, *over.tags, *over.policies]
    together = {_key(one): one for one in (*base, *definitions)}
    return make_bundle(1 if over is None else over.revision, list(together.values()))


def _key(definition: Definition) -> tuple[str, str]:
    kind = kind_of(definition)
    # There is one workspace, whatever its id.
    return kind, "" if kind == "workspace" else definition.id


def compiled(bundle: Bundle, workspace: str) -> Rules:
    """The rules of a bundle.

    Raises:
        CuestreamError: what cannot be right, a line for each place.
    """
    try:
        return compile_rules(bundle, workspace=workspace)
    except DefinitionError as error:
        raise refused(error) from error
