"""From a record of `profiles` to a snapshot."""

from typing import Final

import msgspec

from services.contracts.codec import decode_json
from services.contracts.errors import Malformed
from services.contracts.profile import Profile
from services.profile_store.limits import problem_of

_decoder: Final = msgspec.json.Decoder(Profile)


def decode_profile(value: bytes | None) -> Profile:
    """Decode one record's value.

    Raises:
        Malformed: `bad_profile` for what is no profile (or none at all: profiles are not
            removed yet), `newer_schema`, or `unstorable` with the field that is out of range.
    """
    if value is None:
        raise Malformed("bad_profile", "the record has no value")
    profile = decode_json(value, _decoder, "profile")
    problem = problem_of(profile)
    if problem is not None:
        raise Malformed("unstorable", problem)
    return profile
