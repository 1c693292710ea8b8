"""What the API is told about OIDC is told whole or not at all."""

from typing import Any

import pytest
from pydantic import ValidationError

from services.triggers.api.main import oidc_of
from services.triggers.api.settings import ApiSettings

WHOLE: dict[str, Any] = {
    "api_oidc_issuer": "https://id.example",
    "api_oidc_audience": "cuestream",
    "api_oidc_keys_url": "https://id.example/keys",
    "api_oidc_roles": {"marketing": "operator"},
}


def test_without_an_issuer_no_jwt_is_asked_for() -> None:
    assert oidc_of(ApiSettings()) is None
    assert oidc_of(ApiSettings(**WHOLE)) is not None


@pytest.mark.parametrize("missing", WHOLE)
def test_a_part_that_is_missing_is_refused_at_the_start(missing: str) -> None:
    given = {name: value for name, value in WHOLE.items() if name != missing}
    with pytest.raises(ValidationError, match="given together"):
        ApiSettings(**given)


def test_a_role_that_there_is_not_is_refused_at_the_start() -> None:
    with pytest.raises(ValidationError):
        ApiSettings(**WHOLE | {"api_oidc_roles": {"marketing": "king"}})
