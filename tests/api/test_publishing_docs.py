"""The commands in docs/publishing.md do what it says."""

from pathlib import Path
from typing import Any

from services.triggers.backtest.jobs import Job
from services.triggers.engine import new_state
from tests.api.around import Surroundings
from tests.api.conftest import client_of
from tests.api.test_docs import requests_of

DOCUMENT = Path(__file__).parents[2] / "docs" / "publishing.md"
TRIGGER = {
    "id": "third_order",
    "entry": {"events": ["Order Completed"]},
    "steps": [{"send": {"channel": "log", "content": {"body": "Thank you!"}}}],
}


async def test_every_command_in_the_document_succeeds(scene: Surroundings) -> None:
    scene.people.states |= {name: new_state(name) for name in ("ann", "ada")}
    page: dict[str, Any] = {"profiles": [], "next_cursor": None, "count": 4}
    scene.answers |= {
        "/v1/search": page,
        "/v1/decision-counts": {"counts": [], "more": False},
        "/v1/people/ada/decisions": {"decisions": [], "next_cursor": None},
    }
    requests = requests_of(DOCUMENT.read_text())
    assert len(requests) >= 19
    async with client_of(scene.app) as client:
        await client.post("/v1/triggers?publish=true", json=TRIGGER)
        workspace = {"id": "default", "test_people": ["ann"]}
        await client.put("/v1/workspace?publish=true", json=workspace, headers={"If-Match": "*"})
        jobs: list[Job] = []
        for method, url, headers, body in requests:
            jobs = await scene.jobs.page(below=None, limit=1)
            url = url.replace("$BACKTEST", jobs[0].id if jobs else "")
            answer = await client.request(method, url, headers=headers, content=body)
            assert answer.is_success, (method, url, answer.text)
