"""All operations of the API.

Generated from the OpenAPI document by `make docs`; do not edit.
"""

from services.client.operations.audit import Audit
from services.client.operations.backtests import Backtests
from services.client.operations.before_publishing import BeforePublishing
from services.client.operations.lifecycles import Lifecycles
from services.client.operations.looking_back import LookingBack
from services.client.operations.policies import Policies
from services.client.operations.publishing import Publishing
from services.client.operations.review import Review
from services.client.operations.rollouts import Rollouts
from services.client.operations.segments import Segments
from services.client.operations.stops import Stops
from services.client.operations.tags import Tags
from services.client.operations.templates import Templates
from services.client.operations.tokens import Tokens
from services.client.operations.triggers import Triggers
from services.client.operations.workspace import Workspace


class Operations(
    Audit,
    Backtests,
    BeforePublishing,
    Lifecycles,
    LookingBack,
    Policies,
    Publishing,
    Review,
    Rollouts,
    Segments,
    Stops,
    Tags,
    Templates,
    Tokens,
    Triggers,
    Workspace,
):
    """Every operation, of every kind."""
