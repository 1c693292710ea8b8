"""Bearer tokens (RFC 6750) for the HTTP APIs of people and tools."""

import hmac
from typing import Annotated, Final

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import SecretStr

from services.runtime.settings import TokenSettings

_scheme: Final = HTTPBearer(auto_error=False, description="one of CUESTREAM_API_TOKENS")


class BearerTokens:
    """The accepted tokens, comma between; comparing takes the same time whichever part differs."""

    def __init__(self, listed: TokenSettings | SecretStr) -> None:
        setting = listed if isinstance(listed, SecretStr) else listed.api_tokens
        texts = map(str.strip, setting.get_secret_value().split(","))
        self._tokens = [text.encode() for text in texts if text]

    def accepts(self, presented: str) -> bool:
        """Whether it is one of them; with none configured nothing is accepted."""
        claimed = presented.encode(errors="surrogateescape")
        matches = [hmac.compare_digest(claimed, token) for token in self._tokens]
        return any(matches)


async def require_token(
    request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_scheme)]
) -> None:
    """Dependency for guarded routes; the application has `state.tokens: BearerTokens`.

    Raises:
        HTTPException: 401, no token or none of the accepted ones.
    """
    tokens: BearerTokens = request.app.state.tokens
    if given is None or not tokens.accepts(given.credentials):
        raise HTTPException(
            401, "a valid bearer token is needed", headers={"WWW-Authenticate": "Bearer"}
        )
