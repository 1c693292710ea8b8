"""deploy/cuestream.env is the configuration reference: it lists every setting, and no other."""

import importlib
import json
import pkgutil
import re
from pathlib import Path

from pydantic import SecretStr

import services
from services.runtime.settings import ProcessSettings

REFERENCE = Path(__file__).parents[2] / "deploy" / "cuestream.env"
LINE = re.compile(r"^# (CUESTREAM_[A-Z0-9_]+)=(.*)$")


def settings_classes() -> list[type[ProcessSettings]]:
    """All of them; they stand in modules named `settings`."""
    for module in pkgutil.walk_packages(services.__path__, "services."):
        if module.name.endswith(".settings"):
            importlib.import_module(module.name)
    found: list[type[ProcessSettings]] = [ProcessSettings]
    for known in found:
        found.extend(sub for sub in known.__subclasses__() if sub.__module__.startswith("services"))
    return found


def written(default: object) -> str:
    """A default as it is written in an environment file."""
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    if default is None or isinstance(default, str):
        return default or ""
    if isinstance(default, Path):
        return str(default)
    if isinstance(default, tuple | set | frozenset):
        default = [written(item) for item in default]
    return json.dumps(default)


def documented() -> dict[str, str]:
    """Names and defaults in the reference; a name that stands twice fails."""
    lines: dict[str, str] = {}
    for line in REFERENCE.read_text().splitlines():
        match = LINE.match(line)
        if match:
            assert match[1] not in lines, f"{match[1]} stands twice"
            lines[match[1]] = match[2]
    return lines


def test_the_reference_lists_every_setting_with_its_default() -> None:
    expected: dict[str, str] = {}
    for settings in settings_classes():
        for name, field in settings.model_fields.items():
            key = f"CUESTREAM_{name.upper()}"
            default = written(field.get_default(call_default_factory=True))
            # Two processes may share a setting; they must then agree on its default.
            assert expected.setdefault(key, default) == default, key
    assert documented() == expected


def test_every_setting_is_explained() -> None:
    blocks = REFERENCE.read_text().split("\n\n")
    for block in blocks:
        names = [match[1] for line in block.splitlines() if (match := LINE.match(line))]
        if names:
            assert not LINE.match(block.splitlines()[0]), f"{names[0]} has no explanation"
            assert len(names) == 1, f"{names} share an explanation"
