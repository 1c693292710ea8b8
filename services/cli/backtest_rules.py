"""The definitions of a backtest: those in force, and those in force with the draft among them."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from services.cli.definitions import files_of, read_definitions
from services.cli.topics import read_topic
from services.contracts.codec import decode_json
from services.contracts.definitions import DEFAULT_POLICY, Bundle, DefinitionRecord, Trigger
from services.contracts.errors import CuestreamError, DefinitionError, Malformed
from services.contracts.topics import DEFINITIONS
from services.runtime.settings import KafkaSettings
from services.triggers.definitions.decoding import convert_definition, split_kind
from services.triggers.definitions.values import Definition, kind_of, make_bundle
from services.triggers.engine import Rules, compile_rules
from services.triggers.worker.definitions import DefinitionHistory

READ_SECONDS_MAX = 60.0


def read_files(paths: Iterable[Path]) -> list[Definition]:
    """The definitions in files and folders; a trigger's draft is taken for live.

    Raises:
        CuestreamError: a file cannot be read, or what is wrong in it, line by line.
    """
    found: list[Definition] = []
    try:
        for file in (file for path in paths for file in files_of(path)):
            try:
                for value in read_definitions([file]):
                    kind, fields = split_kind(value, "definition")
                    found.append(_live(convert_definition(kind, fields, archiving=True)))
            except DefinitionError as error:
                raise DefinitionError(
                    [(f"{file}: {at}", why) for at, why in error.problems]
                ) from error
    except DefinitionError as error:
        raise _refused(error) from error
    except OSError as error:
        raise CuestreamError(f"{error.filename}: {error.strerror}") from error
    return found


def _live(definition: Definition) -> Definition:
    if isinstance(definition, Trigger) and definition.status == "draft":
        return msgspec.structs.replace(definition, status="live")
    return definition


def _refused(error: DefinitionError) -> CuestreamError:
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
        raise _refused(error) from error


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
        raise _refused(error) from error
