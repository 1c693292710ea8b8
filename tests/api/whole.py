"""The whole API over fakes: every router that the process has."""

from typing import Any

from starlette.types import ASGIApp

from services.triggers.api.tag_report import Changes, tag_report_routes
from services.triggers.api.template_routes import template_routes
from services.triggers.api.trial import routers_around
from services.triggers.definitions.memory import MemoryStore, Tables
from services.triggers.definitions.service import Definitions
from services.triggers.definitions.texts import check_whole
from tests.api.around import Surroundings
from tests.api.conftest import make_api
from tests.api.test_templates import Known
from tests.definitions.support import START


class NothingNoticed:
    """Of no tag it is known when it last changed."""

    async def changes(self) -> Changes:
        """Nothing."""
        return Changes(watched_since=None, tags=())


class Nothing(dict[str, Any]):
    """What the profile store answers of nobody and nothing, at every address."""

    def get(self, path: str, default: Any = None) -> Any:
        """The empty answer there."""
        if path.endswith("decisions"):
            return {"decisions": [], "next_cursor": None}
        if path.endswith("decision-counts"):
            return {"counts": [], "more": False}
        return {"count": 0} if default is None else default


async def make_whole() -> ASGIApp:
    """The application after its first start, with the engine's and the texts' checks."""
    definitions = Definitions(
        MemoryStore(Tables()), check_whole, workspace="default", now=lambda: START
    )
    await definitions.bootstrap()
    around = Surroundings(definitions)
    around.answers = Nothing()
    return make_api(
        definitions,
        more_routers=[
            template_routes(definitions, Known()),
            tag_report_routes(definitions, NothingNoticed(), lambda: START),
            *routers_around(around.parts),
        ],
    )
