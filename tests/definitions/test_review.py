"""From draft over review to live: by two people, unless that is waived."""

import asyncio
from typing import Any

import pytest

from services.contracts.definitions import Kind, Trigger
from services.contracts.errors import DefinitionError
from services.triggers.definitions.actors import Forbidden, Origin
from services.triggers.definitions.rights import ReviewMode
from services.triggers.definitions.service import Definitions
from services.triggers.definitions.transitions import drafted
from services.triggers.definitions.values import (
    AUTHORS_MAX,
    Conflict,
    Definition,
    NotFound,
    Stale,
    Stored,
    Taken,
)
from tests.definitions.support import (
    ROOT,
    START,
    make_definitions,
    needing,
    person,
    policy,
    program,
    tag,
    trigger,
)

ANN, BEN, CIM = person("ann"), person("ben"), person("cim", "operator")
ADA = person("ada", "administrator")
ID: tuple[Kind, str] = ("trigger", "cart_left")


@pytest.fixture
async def definitions() -> Definitions:
    """The service after its first start."""
    made = make_definitions()
    await made.bootstrap()
    return made


async def submitted(definitions: Definitions, by: Origin = CIM, **changes: Any) -> Stored:
    """A new trigger in review, written and submitted by one person."""
    await definitions.create(trigger(**changes), by=by, publish=False)
    return await definitions.submit(*ID, by=by, expected=None, note="please")


async def edit(definitions: Definitions, by: Origin, name: str) -> Stored:
    """Write the draft anew."""
    return await definitions.change(
        *ID, lambda _: trigger(name=name), by=by, expected=None, publish=False
    )


async def test_a_draft_goes_through_review_to_live_by_two_people(definitions: Definitions) -> None:
    waiting = await submitted(definitions)
    assert waiting.status == "in_review"
    assert waiting.review.submitted is not None
    assert waiting.review.submitted.note == "please"
    live = await definitions.approve(*ID, by=ANN, expected=waiting.edit)
    assert (live.status, live.version, live.draft) == ("live", 1, None)
    assert live.review.authors == ()


async def test_nobody_approves_what_they_wrote_any_part_of(definitions: Definitions) -> None:
    await definitions.create(trigger(), by=ANN, publish=False)
    await edit(definitions, BEN, "by Ben")
    await definitions.submit(*ID, by=CIM, expected=None)
    for author in (ANN, BEN):
        with pytest.raises(Forbidden, match="wrote part") as refused:
            await definitions.approve(*ID, by=author, expected=None)
        assert refused.value.code == "own_change"
        with pytest.raises(Forbidden):
            await definitions.publish(*ID, by=author, expected=None)
    # An administrator is a person too.
    live = await definitions.approve(*ID, by=ADA, expected=None)
    assert live.status == "live"


async def test_a_second_token_of_the_author_is_the_author(definitions: Definitions) -> None:
    await submitted(definitions, by=person("ann", "operator"))
    with pytest.raises(Forbidden, match="wrote part"):
        await definitions.approve(*ID, by=person("ann", "administrator"), expected=None)


async def test_who_wrote_is_forgotten_once_the_draft_is_in_force(definitions: Definitions) -> None:
    await submitted(definitions, by=ANN)
    await definitions.approve(*ID, by=BEN, expected=None)
    await edit(definitions, BEN, "second")
    await definitions.submit(*ID, by=BEN, expected=None)
    live = await definitions.approve(*ID, by=ANN, expected=None)
    assert (live.version, live.status) == (2, "live")


async def test_changing_what_is_in_review_makes_it_a_draft_again(definitions: Definitions) -> None:
    await submitted(definitions)
    changed = await edit(definitions, CIM, "changed")
    assert (changed.status, changed.review.submitted) == ("draft", None)
    with pytest.raises(Conflict, match="not in review"):
        await definitions.approve(*ID, by=ANN, expected=None)


async def test_what_was_changed_since_it_was_read_is_not_approved(definitions: Definitions) -> None:
    read = await submitted(definitions)
    await edit(definitions, CIM, "changed")
    await definitions.submit(*ID, by=CIM, expected=None)
    with pytest.raises(Stale):
        await definitions.approve(*ID, by=ANN, expected=read.edit)


async def test_a_live_trigger_goes_on_while_its_draft_is_in_review(
    definitions: Definitions,
) -> None:
    await submitted(definitions)
    await definitions.approve(*ID, by=ANN, expected=None)
    await edit(definitions, CIM, "second")
    waiting = await definitions.submit(*ID, by=CIM, expected=None)
    assert (waiting.status, waiting.version) == ("live", 1)
    assert [one.id for one in await definitions.waiting(after=("", ""), limit=9)] == ["cart_left"]
    paused = await definitions.set_status("cart_left", "paused", by=ANN, expected=None)
    assert paused.status == "paused"
    assert paused.review.submitted is not None
    live = await definitions.approve(*ID, by=ANN, expected=None)
    # Approving a change does not resume what somebody paused.
    assert (live.status, live.version) == ("paused", 3)


async def test_a_rejected_draft_says_why_until_it_is_submitted_again(
    definitions: Definitions,
) -> None:
    await submitted(definitions)
    back = await definitions.reject(*ID, by=ANN, expected=None, reason="too loud")
    assert (back.status, back.review.submitted) == ("draft", None)
    assert back.review.rejected is not None
    assert (back.review.rejected.by, back.review.rejected.reason) == ("ann", "too loud")
    assert (await edit(definitions, BEN, "quieter")).review.rejected is not None
    again = await definitions.submit(*ID, by=CIM, expected=None)
    assert again.review.rejected is None
    # Those who wrote before the rejection wrote part of it still.
    assert again.review.authors == ("cim", "ben")


async def test_a_draft_is_withdrawn_and_thrown_away(definitions: Definitions) -> None:
    await submitted(definitions)
    back = await definitions.withdraw(*ID, by=CIM, expected=None)
    assert (back.status, back.review.submitted) == ("draft", None)
    gone = await definitions.discard(*ID, by=CIM, expected=None)
    assert (gone.status, gone.draft) == ("archived", None)
    assert await definitions.discard(*ID, by=CIM, expected=None) == gone
    for refused in (
        definitions.withdraw(*ID, by=CIM, expected=None),
        definitions.submit(*ID, by=CIM, expected=None),
        definitions.reject(*ID, by=ANN, expected=None, reason="no"),
    ):
        with pytest.raises(Conflict):
            await refused


async def test_people_put_nothing_in_force_past_the_review(definitions: Definitions) -> None:
    await definitions.create(trigger(), by=ADA, publish=False)
    attempts = (
        definitions.publish(*ID, by=ANN, expected=None),
        definitions.create(trigger("other"), by=ADA, publish=True),
        definitions.change(*ID, lambda _: trigger(), by=ADA, expected=None, publish=True),
        definitions.apply([trigger()], by=ADA, dry_run=False),
        definitions.archive("policy", "marketing_daily", by=ADA, expected=None),
    )
    for attempt in attempts:
        with pytest.raises(Forbidden) as refused:
            await attempt
        assert refused.value.code == "review_required"
    assert (await definitions.revision()).revision == 1
    # Looking at what it would do is free.
    assert (await definitions.apply([trigger()], by=CIM, dry_run=True)).changes


@pytest.mark.parametrize(
    ("mode", "by", "free"),
    [
        ("people", ROOT, True),
        ("people", program(), True),
        ("people", ADA, False),
        ("all", ROOT, False),
        ("all", program(), False),
        ("all", ADA, False),
        ("off", ADA, True),
        ("off", ROOT, True),
    ],
)
async def test_the_setting_says_whose_changes_are_reviewed(
    mode: ReviewMode, by: Origin, free: bool
) -> None:
    definitions = make_definitions(review=mode)
    await definitions.bootstrap()
    if free:
        assert (await definitions.create(trigger(), by=by, publish=True)).status == "live"
        return
    await submitted(definitions, by=by)
    with pytest.raises(Forbidden):
        await definitions.approve(*ID, by=by, expected=None)
    assert (await definitions.approve(*ID, by=BEN, expected=None)).status == "live"


async def test_where_review_is_waived_an_author_approves_their_own() -> None:
    definitions = make_definitions(review="off")
    await definitions.bootstrap()
    await submitted(definitions, by=ANN)
    assert (await definitions.approve(*ID, by=ANN, expected=None)).status == "live"


async def test_each_role_may_do_what_it_is_for_and_no_more(definitions: Definitions) -> None:
    ida = person("ida", "analyst")
    await submitted(definitions)
    for refused in (
        definitions.create(trigger("b"), by=ida, publish=False),
        definitions.submit(*ID, by=ida, expected=None),
        definitions.discard(*ID, by=ida, expected=None),
        definitions.approve(*ID, by=person("olu", "operator"), expected=None),
        definitions.reject(*ID, by=CIM, expected=None, reason="no"),
        definitions.create(policy(), by=ANN, publish=False),
        definitions.apply([policy()], by=ANN, dry_run=True),
        definitions.create(policy(), by=program(role="reviewer"), publish=True),
        definitions.create(trigger("b"), by=program(role="operator"), publish=True),
    ):
        with pytest.raises(Forbidden, match="needs the role"):
            await refused
    await definitions.approve(*ID, by=ANN, expected=None)
    for refused in (
        definitions.set_status("cart_left", "paused", by=CIM, expected=None),
        definitions.archive(*ID, by=CIM, expected=None),
    ):
        with pytest.raises(Forbidden, match="needs the role"):
            await refused
    # A reviewer stops something alone, at once.
    await definitions.set_status("cart_left", "paused", by=ANN, expected=None)
    assert (await definitions.archive(*ID, by=ANN, expected=None)).status == "archived"


async def names(definitions: Definitions, *versions: str) -> None:
    """Publish these names of the trigger one after the other."""
    for number, name in enumerate(versions):
        if number == 0:
            await definitions.create(trigger(name=name), by=ROOT, publish=True)
        else:
            await edit(definitions, ROOT, name)
            await definitions.publish(*ID, by=ROOT, expected=None)


async def test_rolling_back_publishes_an_older_version_as_a_new_one(
    definitions: Definitions,
) -> None:
    await names(definitions, "first", "second")
    back = await definitions.roll_back(*ID, 1, by=ROOT, expected=None)
    assert back.published is not None
    assert (back.version, back.published.name, back.published.version) == (3, "first", 3)
    # It stands so already: nothing is published a second time.
    assert await definitions.roll_back(*ID, 1, by=ROOT, expected=None) == back
    versions = await definitions.versions(*ID, below=None, limit=9)
    assert [(one.version, one.by) for one in versions] == [
        (3, "settings"), (2, "settings"), (1, "settings"),
    ]  # fmt: skip
    assert [one.definition.name for one in versions if one.definition is not None] == [
        "first", "second", "first",
    ]  # fmt: skip
    with pytest.raises(NotFound, match="version 4"):
        await definitions.roll_back(*ID, 4, by=ROOT, expected=None)


async def test_rolling_back_by_people_goes_through_review(definitions: Definitions) -> None:
    await names(definitions, "first", "second")
    waiting = await definitions.roll_back(*ID, 1, by=ANN, expected=None)
    assert (waiting.status, waiting.version) == ("live", 2)
    assert waiting.review.submitted is not None
    with pytest.raises(Conflict, match="has a draft"):
        await definitions.roll_back(*ID, 1, by=BEN, expected=None)
    with pytest.raises(Forbidden):
        await definitions.approve(*ID, by=ANN, expected=None)
    live = await definitions.approve(*ID, by=BEN, expected=None)
    assert live.published is not None
    assert (live.version, live.published.name) == (3, "first")


async def test_rolling_back_keeps_a_pause_and_an_unfinished_draft(definitions: Definitions) -> None:
    await names(definitions, "first", "second")
    await definitions.set_status("cart_left", "paused", by=ROOT, expected=None)
    await edit(definitions, ANN, "unfinished")
    back = await definitions.roll_back(*ID, 1, by=ROOT, expected=None)
    assert isinstance(back.published, Trigger)
    assert (back.status, back.published.status, back.published.name) == (
        "paused", "paused", "first",
    )  # fmt: skip
    assert back.draft is not None
    assert (back.draft.name, back.review.authors) == ("unfinished", ("ann",))


async def test_an_archived_trigger_comes_back_by_rolling_back(definitions: Definitions) -> None:
    await names(definitions, "first")
    await definitions.archive(*ID, by=ROOT, expected=None)
    with pytest.raises(Conflict, match="archiving"):
        await definitions.roll_back(*ID, 2, by=ROOT, expected=None)
    back = await definitions.roll_back(*ID, 1, by=ROOT, expected=None)
    assert (back.status, back.version) == ("live", 3)


async def test_a_name_that_another_one_has_is_refused(definitions: Definitions) -> None:
    await definitions.create(trigger("a", name="Cart left"), by=ROOT, publish=True)
    for refused in (
        definitions.create(trigger("b", name=" cart LEFT "), by=ROOT, publish=False),
        definitions.apply([trigger("b", name="Cart left")], by=ROOT, dry_run=False),
        definitions.apply(
            [trigger("b", name="Same"), trigger("c", name="same")], by=ROOT, dry_run=True
        ),
    ):
        with pytest.raises(Taken) as taken:
            await refused
        assert taken.value.problems[0][0] in ("triggers.b.name", "triggers.c.name")
    # Another kind, no name at all, and two that change places are no clash.
    await definitions.create(tag(name="Cart left"), by=ROOT, publish=False)
    await definitions.create(trigger("b"), by=ROOT, publish=True)
    await definitions.apply(
        [trigger("a", name="Other"), trigger("b", name="Cart left")], by=ROOT, dry_run=False
    )


async def test_files_are_submitted_as_drafts_where_they_change_something(
    definitions: Definitions,
) -> None:
    await definitions.create(tag(), by=ROOT, publish=True)
    given: list[Definition] = [tag(), needing("orders"), trigger("b")]
    asked = await definitions.propose(given, by=CIM)
    assert asked.revision is None
    assert [one.action for one in asked.changes] == ["none", "create", "create"]
    waiting = await definitions.waiting(after=("", ""), limit=9)
    assert [one.id for one in waiting] == ["b", "cart_left"]
    # The same files again change nothing, other ones are refused: somebody works on the draft.
    await definitions.propose(given, by=BEN)
    assert (await definitions.get(*ID)).review.authors == ("cim",)
    with pytest.raises(Conflict, match="another draft"):
        await definitions.propose([trigger()], by=BEN)
    with pytest.raises(DefinitionError):
        await definitions.propose([trigger("c"), needing("nowhere", "d")], by=BEN)
    with pytest.raises(Forbidden):
        await definitions.propose([policy()], by=CIM)
    with pytest.raises(NotFound):
        await definitions.get("trigger", "c")
    assert (await definitions.approve(*ID, by=BEN, expected=None)).status == "live"
    with pytest.raises(Conflict, match="DELETE"):
        await definitions.propose([trigger("c"), trigger(status="archived")], by=BEN)
    with pytest.raises(Forbidden):
        await definitions.approve("trigger", "b", by=person("cim"), expected=None)


def test_no_author_of_a_draft_is_ever_forgotten() -> None:
    draft: Stored | None = None
    for number in range(AUTHORS_MAX):
        draft = drafted(draft, trigger(), f"p{number}", START)
    with pytest.raises(Conflict, match="more than"):
        drafted(draft, trigger(), "one more", START)
    assert drafted(draft, trigger(), "p0", START).review.authors[0] == "p0"


async def test_of_two_reviewers_at_once_one_publishes(definitions: Definitions) -> None:
    waiting = await submitted(definitions)
    answers = await asyncio.gather(
        *(definitions.approve(*ID, by=by, expected=waiting.edit) for by in (ANN, BEN)),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in answers) == ["Stale", "Stored"]
    assert (await definitions.get(*ID)).version == 1
