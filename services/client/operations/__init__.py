"""All operations of the API.

Generated from the OpenAPI document by `make docs`; do not edit.
"""

from services.client.operations.audit import Audit
from services.client.operations.lifecycles import Lifecycles
from services.client.operations.policies import Policies
from services.client.operations.publishing import Publishing
from services.client.operations.review import Review
from services.client.operations.segments import Segments
from services.client.operations.tags import Tags
from services.client.operations.templates import Templates
from services.client.operations.tokens import Tokens
from services.client.operations.triggers import Triggers
from services.client.operations.workspace import Workspace


class Operations(
    Audit,
    Lifecycles,
    Policies,
    Publishing,
    Review,
    Segments,
    Tags,
    Templates,
    Tokens,
    Triggers,
    Workspace,
):
    """Every operation, of every kind."""
