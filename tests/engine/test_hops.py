"""Who is asked for, and who has answered before it was known that anybody had asked."""

from services.triggers.engine.hops import answered, ask_on, open_asks
from services.triggers.engine.state import Asked, new_state


def test_an_answer_before_its_question_is_remembered_among_many_others() -> None:
    state = new_state("a0")
    answered(state, "p3", "a0")
    for number in range(26):
        answered(state, "p1", f"p{number}")
    ask_on(state, [Asked(person="p6", by="p4", at=0)])
    ask_on(state, [Asked(person="p3", by="a0", at=0)])
    assert open_asks(state) == ["p6"]
