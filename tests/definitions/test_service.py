"""Editing and publishing, by the rules alone."""

import asyncio

import msgspec
import pytest

from services.contracts.conditions import Condition
from services.contracts.definitions import DEFAULT_POLICY, Trigger, Workspace
from services.contracts.errors import DefinitionError
from services.triggers.definitions.memory import MemoryStore, Tables
from services.triggers.definitions.service import ANY_EDIT, Definitions
from services.triggers.definitions.values import Conflict, Definition, NotFound, Stale, Stored
from tests.definitions.support import ROOT, make_definitions, needing, policy, tag, trigger


@pytest.fixture
async def definitions() -> Definitions:
    """The service on an empty store after its first start."""
    made = make_definitions()
    await made.bootstrap()
    return made


def status_of(stored: Stored) -> tuple[str, str | None]:
    """Its own status, and the one its published body says."""
    published = stored.published
    return stored.status, published.status if isinstance(published, Trigger) else None


async def test_the_first_start_publishes_the_default_cap_once() -> None:
    tables = Tables()
    first, second = (make_definitions(MemoryStore(tables)) for _ in range(2))
    assert sorted(await asyncio.gather(first.bootstrap(), second.bootstrap())) == [False, True]
    assert (await first.revision()).revision == 1
    stored = await first.get("policy", DEFAULT_POLICY.id)
    assert stored.published == msgspec.structs.replace(DEFAULT_POLICY, version=1)
    assert (await first.get("workspace", "default")).status == "live"


async def test_a_draft_is_not_in_force_until_published(definitions: Definitions) -> None:
    draft = await definitions.create(trigger(), by=ROOT, publish=False)
    assert (draft.status, draft.version, draft.published) == ("draft", 0, None)
    assert (await definitions.revision()).revision == 1
    live = await definitions.publish("trigger", "cart_left", by=ROOT, expected=draft.edit)
    assert (live.status, live.version, live.revision, live.draft) == ("live", 1, 2, None)


async def test_publishing_what_stands_already_makes_no_revision(definitions: Definitions) -> None:
    live = await definitions.create(trigger(), by=ROOT, publish=True)
    again = await definitions.change(
        "trigger", "cart_left", lambda _: trigger(), by=ROOT, expected=live.edit, publish=True
    )
    assert again == live
    await definitions.change(
        "trigger", "cart_left", lambda _: trigger(), by=ROOT, expected=live.edit, publish=False
    )
    without_draft = await definitions.publish("trigger", "cart_left", by=ROOT, expected=None)
    assert without_draft.draft is None
    assert without_draft.edit > live.edit
    assert (await definitions.revision()).revision == 2


async def test_an_id_is_created_once(definitions: Definitions) -> None:
    await definitions.create(trigger(), by=ROOT, publish=False)
    with pytest.raises(Conflict):
        await definitions.create(trigger(), by=ROOT, publish=True)


async def test_a_change_over_another_change_is_refused(definitions: Definitions) -> None:
    seen = await definitions.create(trigger(), by=ROOT, publish=True)
    await definitions.change(
        "trigger",
        "cart_left",
        lambda _: trigger(name="first"),
        by=ROOT,
        expected=seen.edit,
        publish=False,
    )
    for publish in (False, True):
        with pytest.raises(Stale):
            await definitions.change(
                "trigger",
                "cart_left",
                lambda _: trigger(name="second"),
                by=ROOT,
                expected=seen.edit,
                publish=publish,
            )
    with pytest.raises(Stale):
        await definitions.archive("trigger", "cart_left", by=ROOT, expected=seen.edit)
    standing = await definitions.get("trigger", "cart_left")
    assert standing.draft == trigger(name="first")
    over = await definitions.change(
        "trigger",
        "cart_left",
        lambda _: trigger(name="third"),
        by=ROOT,
        expected=ANY_EDIT,
        publish=False,
    )
    assert over.draft == trigger(name="third")


async def test_pausing_is_in_force_at_once_and_leaves_the_draft(definitions: Definitions) -> None:
    await definitions.create(trigger(), by=ROOT, publish=True)
    draft = trigger(name="next", status="live")
    await definitions.change(
        "trigger", "cart_left", lambda _: draft, by=ROOT, expected=None, publish=False
    )
    paused = await definitions.set_status("cart_left", "paused", by=ROOT, expected=None)
    assert status_of(paused) == ("paused", "paused")
    assert (paused.version, paused.revision) == (2, 3)
    # The draft said live before somebody paused it: publishing it must not resume.
    published = await definitions.publish("trigger", "cart_left", by=ROOT, expected=None)
    assert status_of(published) == ("paused", "paused")
    assert published.published is not None
    assert published.published.name == "next"
    resumed = await definitions.set_status("cart_left", "live", by=ROOT, expected=None)
    assert status_of(resumed) == ("live", "live")


async def test_pausing_twice_makes_one_revision(definitions: Definitions) -> None:
    await definitions.create(trigger(), by=ROOT, publish=True)
    first = await definitions.set_status("cart_left", "paused", by=ROOT, expected=None)
    assert await definitions.set_status("cart_left", "paused", by=ROOT, expected=None) == first


async def test_only_what_is_published_can_be_paused(definitions: Definitions) -> None:
    await definitions.create(trigger(), by=ROOT, publish=False)
    with pytest.raises(Conflict):
        await definitions.set_status("cart_left", "paused", by=ROOT, expected=None)
    with pytest.raises(NotFound):
        await definitions.set_status("other", "paused", by=ROOT, expected=None)


async def test_a_trigger_cannot_go_live_on_a_tag_that_is_not_in_force(
    definitions: Definitions,
) -> None:
    place = "triggers.cart_left.entry.where.all[0].tag"
    with pytest.raises(DefinitionError) as refused:
        await definitions.create(needing("orders"), by=ROOT, publish=True)
    assert refused.value.problems == [(place, "there is no tag orders")]
    with pytest.raises(NotFound):
        await definitions.get("trigger", "cart_left")
    # A draft may rest on another draft; publishing it may not.
    await definitions.create(tag("orders"), by=ROOT, publish=False)
    await definitions.create(needing("orders"), by=ROOT, publish=False)
    with pytest.raises(DefinitionError):
        await definitions.publish("trigger", "cart_left", by=ROOT, expected=None)
    await definitions.publish("tag", "orders", by=ROOT, expected=None)
    live = await definitions.publish("trigger", "cart_left", by=ROOT, expected=None)
    assert live.status == "live"


async def test_a_wrong_draft_is_refused_and_other_drafts_are_not_blamed(
    definitions: Definitions,
) -> None:
    with pytest.raises(DefinitionError):
        await definitions.create(needing("orders"), by=ROOT, publish=False)
    await definitions.create(tag("orders"), by=ROOT, publish=False)
    await definitions.create(needing("orders"), by=ROOT, publish=False)
    await definitions.archive("tag", "orders", by=ROOT, expected=None)
    # The draft trigger is wrong now, which is no business of this one.
    await definitions.create(trigger("welcome"), by=ROOT, publish=False)


async def test_a_tag_in_use_is_not_archived(definitions: Definitions) -> None:
    await definitions.create(tag("orders"), by=ROOT, publish=True)
    await definitions.create(needing("orders"), by=ROOT, publish=True)
    with pytest.raises(DefinitionError) as refused:
        await definitions.archive("tag", "orders", by=ROOT, expected=None)
    assert refused.value.problems[0][0] == "triggers.cart_left.entry.where.all[0].tag"
    assert (await definitions.get("tag", "orders")).status == "live"
    await definitions.archive("trigger", "cart_left", by=ROOT, expected=None)
    archived = await definitions.archive("tag", "orders", by=ROOT, expected=None)
    assert (archived.status, archived.version) == ("archived", 2)
    assert await definitions.archive("tag", "orders", by=ROOT, expected=None) == archived


async def test_what_was_archived_comes_back_by_publishing(definitions: Definitions) -> None:
    await definitions.create(trigger(), by=ROOT, publish=True)
    await definitions.archive("trigger", "cart_left", by=ROOT, expected=None)
    back = await definitions.change(
        "trigger", "cart_left", lambda _: trigger(), by=ROOT, expected=None, publish=True
    )
    assert (back.status, back.version) == ("live", 3)


async def test_a_draft_thrown_away_leaves_no_version(definitions: Definitions) -> None:
    await definitions.create(trigger(), by=ROOT, publish=False)
    gone = await definitions.archive("trigger", "cart_left", by=ROOT, expected=None)
    assert (gone.status, gone.version, gone.draft) == ("archived", 0, None)
    assert (await definitions.revision()).revision == 1
    assert await definitions.page("trigger", status=None, after="", limit=10) == []
    again = await definitions.change(
        "trigger", "cart_left", lambda _: trigger(), by=ROOT, expected=None, publish=False
    )
    assert again.status == "draft"


async def test_applying_publishes_all_in_one_revision_and_nothing_the_second_time(
    definitions: Definitions,
) -> None:
    # The trigger stands before the tag it reads: only the whole has to be right.
    given: list[Definition] = [needing("orders"), tag("orders"), policy()]
    dry = await definitions.apply(given, by=ROOT, dry_run=True)
    assert dry.revision is None
    assert [change.action for change in dry.changes] == ["create"] * 3
    assert (await definitions.revision()).revision == 1
    applied = await definitions.apply(given, by=ROOT, dry_run=False)
    assert applied.revision == 2
    again = await definitions.apply(given, by=ROOT, dry_run=False)
    assert again.revision is None
    assert [change.action for change in again.changes] == ["none"] * 3
    changed = await definitions.apply([*given[:2], policy(limit=6)], by=ROOT, dry_run=False)
    assert changed.revision == 3
    assert [(change.action, change.version) for change in changed.changes] == [
        ("none", 1),
        ("none", 1),
        ("change", 2),
    ]


async def test_applying_does_not_resume_what_somebody_paused_nor_drop_a_draft(
    definitions: Definitions,
) -> None:
    await definitions.apply([trigger()], by=ROOT, dry_run=False)
    await definitions.set_status("cart_left", "paused", by=ROOT, expected=None)
    assert (await definitions.apply([trigger()], by=ROOT, dry_run=False)).revision is None
    await definitions.change(
        "trigger",
        "cart_left",
        lambda _: trigger(name="mine"),
        by=ROOT,
        expected=None,
        publish=False,
    )
    await definitions.apply([trigger(name="theirs")], by=ROOT, dry_run=False)
    standing = await definitions.get("trigger", "cart_left")
    assert standing.status == "paused"
    assert standing.draft == trigger(name="mine")
    await definitions.apply([trigger(name="theirs", status="live")], by=ROOT, dry_run=False)
    assert (await definitions.get("trigger", "cart_left")).status == "live"


async def test_applying_wrong_definitions_changes_nothing(definitions: Definitions) -> None:
    with pytest.raises(DefinitionError):
        await definitions.apply([policy(), needing("orders")], by=ROOT, dry_run=False)
    with pytest.raises(DefinitionError):
        await definitions.apply([policy(), needing("orders")], by=ROOT, dry_run=True)
    with pytest.raises(NotFound):
        await definitions.get("policy", "weekly")


async def test_a_definition_given_twice_is_refused(definitions: Definitions) -> None:
    with pytest.raises(DefinitionError) as refused:
        await definitions.apply([policy(), policy(limit=1)], by=ROOT, dry_run=False)
    assert refused.value.problems == [("policies.weekly", "given twice")]


async def test_a_trigger_is_archived_by_applying_it_so(definitions: Definitions) -> None:
    await definitions.apply([trigger()], by=ROOT, dry_run=False)
    applied = await definitions.apply([trigger(status="archived")], by=ROOT, dry_run=False)
    assert (applied.revision, applied.changes[0].action) == (3, "archive")
    assert (
        await definitions.apply([trigger(status="archived")], by=ROOT, dry_run=False)
    ).revision is None


async def test_another_workspace_is_refused(definitions: Definitions) -> None:
    with pytest.raises(DefinitionError):
        await definitions.apply([Workspace(id="other")], by=ROOT, dry_run=False)


async def test_what_is_in_force_together_is_what_is_checked() -> None:
    seen: list[list[str]] = []

    def check(bundle: object) -> list[tuple[str, str]]:
        bundled = msgspec.to_builtins(bundle)
        seen.append([one["id"] for one in bundled["triggers"]])
        return []

    made = Definitions(MemoryStore(Tables()), check, workspace="default", now=lambda: 1)
    await made.create(trigger("a"), by=ROOT, publish=True)
    await made.create(trigger("b"), by=ROOT, publish=False)
    await made.create(trigger("c"), by=ROOT, publish=True)
    await made.set_status("c", "paused", by=ROOT, expected=None)
    await made.archive("trigger", "a", by=ROOT, expected=None)
    assert seen == [["a"], ["a", "b"], ["a", "c"], ["a", "c"], ["c"]]


async def test_one_that_was_true_before_is_a_change(definitions: Definitions) -> None:
    def asking(value: bool | int) -> Trigger:
        return trigger(audience=Condition(trait="vip", op="eq", value=value))

    await definitions.apply([asking(True)], by=ROOT, dry_run=False)
    applied = await definitions.apply([asking(1)], by=ROOT, dry_run=False)
    assert [one.action for one in applied.changes] == ["change"]
