"""A client of the marketers' API, for programs and the command line.

```python
async with Client("http://127.0.0.1:8081", token) as api:
    page = (await api.list_triggers(status="live")).body
```

It knows nothing of the services: `models` and `operations` are made from the API's document.
"""

from typing import Self

from services.client.calling import Answer, ApiError, Place, Unreachable
from services.client.operations import Operations

__all__ = ["Answer", "ApiError", "Client", "Place", "Unreachable"]


class Client(Operations):
    """Every operation of the API at one address, with one token.

    Raises (all operations):
        ApiError: the API refuses, with place and reason of what is wrong.
        Unreachable: no answer came.
    """

    async def __aenter__(self) -> Self:
        """The client itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close its connections."""
        await self.close()
