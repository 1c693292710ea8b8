"""A broker and a database from wheels, as child processes: for trying out and for tests."""

from services.runtime.embedded.broker import EmbeddedBroker
from services.runtime.embedded.postgres import EmbeddedPostgres
from services.runtime.embedded.wait import EmbeddedError

__all__ = ["EmbeddedBroker", "EmbeddedError", "EmbeddedPostgres"]
