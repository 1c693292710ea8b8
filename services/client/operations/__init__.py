"""All operations of the API.

Generated from the OpenAPI document by `make docs`; do not edit.
"""

from services.client.operations.lifecycles import Lifecycles
from services.client.operations.policies import Policies
from services.client.operations.publishing import Publishing
from services.client.operations.segments import Segments
from services.client.operations.tags import Tags
from services.client.operations.templates import Templates
from services.client.operations.triggers import Triggers
from services.client.operations.workspace import Workspace


class Operations(Lifecycles, Policies, Publishing, Segments, Tags, Templates, Triggers, Workspace):
    """Every operation, of every kind."""
