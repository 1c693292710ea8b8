"""What became of the jobs, over HTTP."""

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from services.profile_store.api import make_app
from services.profile_store.jobs.api import job_routes
from services.profile_store.jobs.runs import Runs
from services.profile_store.memory import MemoryProfiles
from services.runtime.bearer import BearerTokens
from services.runtime.health import Health
from services.runtime.metrics import Metrics
from services.runtime.settings import TokenSettings
from tests.profile_store.examples import NOON

pytestmark = pytest.mark.embedded


async def test_runs_are_listed_the_newest_first_page_by_page(engine: AsyncEngine) -> None:
    runs = Runs(engine)
    first = await runs.begin("rfm", NOON, NOON)
    await runs.finish(first, NOON + 1, "published", {"revision": 7})
    second = await runs.begin("models", None, NOON)
    tokens = BearerTokens(TokenSettings(api_tokens=SecretStr("sesame")))
    app = make_app(MemoryProfiles(), tokens, Metrics(), Health(), job_routes(runs))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://store") as client:
        assert (await client.get("/v1/jobs")).status_code == 401
        client.headers["authorization"] = "Bearer sesame"
        page = (await client.get("/v1/jobs", params={"limit": 1})).json()
        assert [run["id"] for run in page["runs"]] == [second]
        assert page["runs"][0]["outcome"] == "running"
        rest = (await client.get("/v1/jobs", params={"cursor": page["next_cursor"]})).json()
        assert rest == {
            "runs": [
                {
                    "id": first,
                    "job": "rfm",
                    "outcome": "published",
                    "slot": "2026-03-01T12:00:00.000000Z",
                    "started_at": "2026-03-01T12:00:00.000000Z",
                    "finished_at": "2026-03-01T12:00:00.000001Z",
                    "report": {"revision": 7},
                }
            ],
            "next_cursor": None,
        }
        assert (await client.get("/v1/jobs", params={"job": "nothing"})).status_code == 422
