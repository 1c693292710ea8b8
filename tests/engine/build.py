"""Short ways to say what a test is about: definitions, events and a log fed to the engine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from services.contracts.control import Answer
from services.contracts.decision import Decision, Outcome
from services.contracts.definitions import AnyDefinition, Bundle, Policy, Tag, Trigger, Workspace
from services.contracts.delivery import Delivery, DeliveryStatus
from services.contracts.event import TRACK, Event
from services.contracts.groups import Lifecycle, Segment
from services.contracts.time import Micros, to_micros
from services.triggers.engine import (
    Outputs,
    PersonState,
    Rules,
    apply_answer,
    apply_delivery,
    compile_rules,
    decide,
    decode_state,
    encode_state,
    new_state,
    wake,
)

PERSON = "ada"


def at(text: str) -> Micros:
    """The instant of an ISO text; without an offset it is UTC."""
    moment = datetime.fromisoformat(text)
    return to_micros(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


NOON = at("2026-06-10T12:00:00")


def trigger(id_: str = "hello", **fields: Any) -> Trigger:
    """A trigger that sends to the log on every `order`, unless told otherwise."""
    given = {"id": id_, "entry": {"events": ["order"]}, "steps": [{"send": {"channel": "log"}}]}
    return msgspec.convert({**given, **fields}, Trigger)


def tag(id_: str, aggregate: str = "count", **fields: Any) -> Tag:
    """A tag over `order`; `value` is the property `amount` where one is needed."""
    given: dict[str, Any] = {"id": id_, "aggregate": aggregate, "events": ["order"]}
    if aggregate != "count":
        given["value"] = "amount"
    return msgspec.convert({**given, **fields}, Tag)


def policy(id_: str = "cap", limit: int = 1, window: str = "24h", **scope: Any) -> Policy:
    """A frequency cap; its scope is everything, unless told otherwise."""
    return msgspec.convert({"id": id_, "limit": limit, "window": window, "scope": scope}, Policy)


def segment(id_: str, when: Any, **fields: Any) -> Segment:
    """A segment of whom `when` holds for."""
    return msgspec.convert({"id": id_, "when": when, **fields}, Segment)


def lifecycle(id_: str, states: Any, *transitions: Any, **fields: Any) -> Lifecycle:
    """A life cycle of these states; the first one is the initial one, unless told otherwise."""
    given = {"id": id_, "states": states, "initial": states[0], "transitions": transitions}
    return msgspec.convert({**given, **fields}, Lifecycle)


def bundle(*definitions: AnyDefinition, revision: int = 1, **workspace: Any) -> Bundle:
    """A bundle of these, with no other policy than those given."""
    return Bundle(
        revision=revision,
        workspace=msgspec.convert(workspace, Workspace),
        triggers=tuple(one for one in definitions if isinstance(one, Trigger)),
        tags=tuple(one for one in definitions if isinstance(one, Tag)),
        policies=tuple(one for one in definitions if isinstance(one, Policy)),
        segments=tuple(one for one in definitions if isinstance(one, Segment)),
        lifecycles=tuple(one for one in definitions if isinstance(one, Lifecycle)),
    )


@dataclass(kw_only=True)
class Log:
    """One person's log, played to the engine record by record.

    `reload` encodes and decodes the state after each record, as a worker that restarts
    before every record would.
    """

    rules: Rules
    now: Micros = NOON
    reload: bool = False
    state: PersonState = field(default_factory=lambda: new_state(PERSON))
    out: Outputs = field(default_factory=Outputs)
    sent_events: int = 0

    def event(
        self,
        name: str = "order",
        properties: Mapping[str, Any] | None = None,
        *,
        now: Micros | None = None,
        occurred_at: Micros | None = None,
        id_: str | None = None,
        **fields: Any,
    ) -> list[Decision]:
        """Something happened at `now`; gives the decisions it led to."""
        self.now = self.now if now is None else now
        self.sent_events += 1
        event = Event(
            person=self.state.person,
            type=fields.pop("type", TRACK),
            name=name,
            message_id=id_ if id_ is not None else f"event-{self.sent_events}",
            occurred_at=self.now if occurred_at is None else occurred_at,
            received_at=self.now,
            properties=dict(properties or {}),
            **fields,
        )
        return self._apply(lambda: decide(self.state, event, self.rules, self.now, self.out))

    def identify(self, traits: Mapping[str, Any], **fields: Any) -> list[Decision]:
        """The person said who they are."""
        return self.event("$identify", type="identify", traits=dict(traits), **fields)

    def delivery(
        self, send_id: str, status: DeliveryStatus = "accepted", *, now: Micros | None = None
    ) -> list[Decision]:
        """A verdict on a send came back."""
        self.now = self.now if now is None else now
        delivery = Delivery(
            send_id=send_id,
            person=self.state.person,
            trigger="any",
            channel="log",
            status=status,
            attempts=1,
            received_at=self.now,
        )
        return self._apply(
            lambda: apply_delivery(self.state, delivery, self.rules, self.now, self.out)
        )

    def answer(self, answer: Answer) -> list[Decision]:
        """One who was asked has answered."""
        return self._apply(lambda: apply_answer(self.state, answer, self.rules, self.now, self.out))

    def wake(self, now: Micros) -> list[Decision]:
        """Time came to `now`."""
        self.now = now
        return self._apply(lambda: wake(self.state, self.rules, now, self.out))

    def publish(self, definitions: Bundle) -> None:
        """From here on these definitions are in force."""
        self.rules = compile_rules(definitions)

    def _apply(self, call: Callable[[], None]) -> list[Decision]:
        before = len(self.out.decisions)
        call()
        if self.reload:
            self.state = decode_state(encode_state(self.state))
        assert self.state.wake_at is None or self.state.wake_at > self.state.now
        return self.out.decisions[before:]

    def outcomes(self) -> list[Outcome]:
        """All outcomes so far, in order."""
        return [one.outcome for one in self.out.decisions]

    def tag(self, id_: str, now: Micros | None = None) -> Any:
        """A tag's value as conditions would see it."""
        return self.rules.read_tag[id_](self.state, self.now if now is None else now)


def log_of(*definitions: AnyDefinition, **workspace: Any) -> Log:
    """A fresh log under these definitions."""
    return Log(rules=compile_rules(bundle(*definitions, **workspace)))
