"""A draft's messages to test people: the production engine's commands, under ids of their own.

No cap counts them: the engine has reserved no place for such an id, so what comes back of it
finds nothing to commit or release. No decision is recorded either, and no run begins.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol
from uuid import uuid4

import msgspec
from aiokafka import AIOKafkaProducer

from services.contracts.codec import encode_json
from services.contracts.command import SendCommand, run_id, send_id
from services.contracts.definitions import Bundle
from services.contracts.errors import Transient
from services.contracts.event import Event
from services.contracts.time import HOUR, Micros
from services.contracts.topics import EVENTS, URGENT_COMMANDS
from services.runtime.kafka import KAFKA_ERRORS, make_producer, partition_of, topic_name
from services.runtime.settings import KafkaSettings
from services.runtime.topic_reading import partitions_of
from services.triggers.engine import Outputs, PersonState, compile_rules
from services.triggers.engine.candidates import Moment, coming_in
from services.triggers.engine.program import SendStep
from services.triggers.engine.records import ask
from services.triggers.engine.state import Sending

EXPIRES_AFTER: Final = HOUR


def commands_for(
    trigger: str,
    bundle: Bundle,
    people: Sequence[PersonState],
    event: Event,
    *,
    workspace: str,
    now: Micros,
    mark: Callable[[], str] = lambda: str(uuid4()),
) -> list[SendCommand]:
    """Every message of the trigger for each of these people, as if `event` had brought them in.

    Offers and tasks are left out: they are no messages, and what they grant is real. `mark`
    makes what tells one test from all others, past and future.

    Raises:
        DefinitionError: the definitions cannot be right.
    """
    rules = compile_rules(bundle, workspace=workspace)
    rule, made = rules.triggers[trigger], list[SendCommand]()
    for state in people:
        entry, out = f"test-send:{mark()}", Outputs()
        run = run_id(workspace, trigger, state.person, entry)
        moment = Moment(state=state, sending=Sending(), rules=rules, now=now, out=out)
        for step in rule.program.steps:
            if not isinstance(step, SendStep):
                continue
            one = coming_in(rule, now, event_id=entry, properties=event.properties, received_at=now)
            one.step = step.number
            ask(one, step, send_id(workspace, trigger, state.person, run, step.number), moment)
        made += [
            msgspec.structs.replace(
                command, test=True, lane="high", expires_at=now + EXPIRES_AFTER, not_between=()
            )
            for command in out.commands
        ]
    return made


class Commands(Protocol):
    """Where urgent commands go."""

    async def send(self, commands: Sequence[SendCommand]) -> None:
        """Write them; returns once all are acknowledged. Raises `Transient`."""


class KafkaCommands:
    """`Commands` on the topic, in the partitions of their people."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings

    async def send(self, commands: Sequence[SendCommand]) -> None:
        """See the port. It happens seldom: a producer is made for it, and closed."""
        partitions = await partitions_of(self._settings, EVENTS)
        producer: AIOKafkaProducer = make_producer(self._settings)
        name = topic_name(self._settings, URGENT_COMMANDS)
        try:
            await producer.start()
            for command in commands:
                key = command.person.encode()
                partition = partition_of(key, partitions)
                await producer.send_and_wait(
                    name, encode_json(command), key=key, partition=partition
                )
        except KAFKA_ERRORS as error:
            raise Transient(f"commands not written: {type(error).__name__}") from error
        finally:
            await producer.stop()
