"""Judges a run from what it put out: no cap exceeded, no refusal unjustified, nothing lost."""

from collections import Counter

from services.contracts.decision import Decision, Outcome
from services.contracts.definitions import Bundle, Policy, Trigger
from services.contracts.steps import CHANNELS
from services.contracts.time import Micros, parse_duration
from services.triggers.engine import Outputs, PersonState
from tests.engine.oracle import OneSend, counted, counts, local, standing
from tests.engine.reference_walk import in_order

TERMINAL = {
    Outcome.SENT, Outcome.EXPIRED, Outcome.DEDUP, Outcome.REENTRY, Outcome.AUDIENCE, Outcome.PAUSED
}  # fmt: skip
ENTERED = {Outcome.SENT, Outcome.WOULD_HAVE_SENT}


def channel_of(trigger: Trigger, number: int) -> str:
    """Where the message of this step goes."""
    send = list(in_order(trigger.steps))[number].send
    assert send is not None
    return send.channel


def sends_of(out: Outputs, given_up: dict[str, int]) -> list[OneSend]:
    """What the world saw. `given_up`: for each failed send the decisions made before that."""
    places = {one.send_id: place for place, one in enumerate(out.decisions) if one.send_id}
    return [
        OneSend(
            at=command.decided_at,
            decided=places[command.send_id],
            trigger=command.trigger,
            channel=command.channel,
            category=command.category,
            given_up=given_up.get(command.send_id),
        )
        for command in out.commands
    ]


def held_back(bundle: Bundle, decisions: list[Decision]) -> list[OneSend]:
    """What a holdout kept from the world."""
    triggers = {one.id: one for one in bundle.triggers}
    return [
        OneSend(
            at=one.now,
            decided=place,
            trigger=one.trigger,
            channel=channel_of(triggers[one.trigger], one.step),
            category=triggers[one.trigger].category,
        )
        for place, one in enumerate(decisions)
        if one.outcome is Outcome.WOULD_HAVE_SENT
    ]


def nobody_woken(bundle: Bundle, sends: list[OneSend], zone: str) -> None:
    """No marketing message at an hour that the local clock says is quiet."""
    for send in sends:
        shown = local(send.at, zone).strftime("%H:%M")
        for one in bundle.workspace.quiet_hours:
            if send.category != "transactional" and send.channel in (one.channels or CHANNELS):
                inside = shown >= one.start, shown < one.end
                assert not (any(inside) if one.start > one.end else all(inside)), shown


def held_out_never_sent(bundle: Bundle, sends: list[OneSend]) -> None:
    """A trigger that holds everybody out sends to nobody."""
    silent = {one.id for one in bundle.triggers if one.holdout == 100}
    assert silent.isdisjoint(one.trigger for one in sends)


def no_cap_exceeded(bundle: Bundle, sends: list[OneSend], zone: str) -> None:
    """At the instant of each send, with it, no policy counts more than its limit.

    Between sends a count can only fall, so these instants are all that matter.
    """
    for send in sends:
        present = [*standing(sends, send.decided), send]
        for policy in bundle.policies:
            if counts(policy, send):
                inside = counted(policy, present, send.at, zone)
                assert len(inside) <= policy.limit, f"{policy.id} exceeded at {send.at}"


def refusals_justified(
    bundle: Bundle, decisions: list[Decision], sends: list[OneSend], zone: str
) -> None:
    """A cap refused only where it was full, with the right count, and frees when it says."""
    policies = {policy.id: policy for policy in bundle.policies}
    for place, decision in enumerate(decisions):
        details = decision.details
        if decision.outcome is not Outcome.CAP or details.get("policy", "runs_max") == "runs_max":
            continue
        policy = policies[details["policy"]]
        seen = [*sends, *held_back(bundle, decisions)] if "held_out" in details else sends
        present = standing(seen, place)
        inside = counted(policy, present, decision.now, zone)
        assert details["count"] == len(inside) >= policy.limit == details["limit"]
        assert details["frees_at"] > decision.now
        still_full = counted(policy, present, details["frees_at"] - 1, zone)
        assert len(still_full) >= policy.limit
        for one in bundle.policies:
            free = counted(one, present, details["frees_at"], zone)
            assert len(free) < one.limit or not _applies(one, decision, bundle)


def _applies(policy: Policy, decision: Decision, bundle: Bundle) -> bool:
    trigger = next(one for one in bundle.triggers if one.id == decision.trigger)
    send = OneSend(
        at=0,
        decided=0,
        trigger=trigger.id,
        channel=channel_of(trigger, decision.step),
        category=trigger.category,
    )
    return counts(policy, send)


def nothing_lost_nothing_twice(state: PersonState, out: Outputs, candidates: Counter[str]) -> None:
    """Every candidate (by trigger and event) ends exactly once, or still waits."""
    ids = [command.send_id for command in out.commands]
    assert len(ids) == len(set(ids))
    assert [one.send_id for one in out.decisions if one.outcome is Outcome.SENT] == ids
    ended: Counter[str] = Counter()
    for decision in out.decisions:
        put_off = "deferred_until" in decision.details
        if decision.outcome in TERMINAL or not put_off:
            ended[f"{decision.trigger}/{decision.event_id}"] += 1
    if state.sending is not None:
        for pending in state.sending.runs:
            ended[f"{pending.trigger}/{pending.event_id}"] += 1
    assert ended == candidates


def cooldowns_kept(bundle: Bundle, decisions: list[Decision]) -> None:
    """Entries, the first sent or put off of each event, lie a cooldown apart; refusals don't."""
    for trigger in bundle.triggers:
        if trigger.reentry.cooldown is None:
            continue
        cooldown = parse_duration(trigger.reentry.cooldown)
        entered: dict[str, Micros] = {}
        for decision in decisions:
            if decision.trigger != trigger.id or decision.event_id in entered:
                continue
            since = decision.now - max(entered.values(), default=-cooldown)
            if decision.outcome is Outcome.REENTRY:
                assert since < cooldown
            elif decision.outcome in ENTERED or "deferred_until" in decision.details:
                assert since >= cooldown
                entered[decision.event_id] = decision.now
