"""The Python client, written from the OpenAPI document of the marketers' API.

One struct for each schema, one method for each operation, by the document's own names. Only
what the document really uses of JSON Schema is known here; anything else is an error, so that
nothing is left out silently.
"""

import builtins
import inspect
import keyword
import re
import subprocess
import sys
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

HEAD: Final = "Generated from the OpenAPI document by `make docs`; do not edit."
WIDTH: Final = 96
METHODS: Final = ("get", "put", "post", "patch", "delete")
SCALARS: Final = {
    "string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None",
}  # fmt: skip
_REF: Final = "#/components/schemas/"


def client_files(document: Schema) -> dict[str, str]:
    """Every generated file of the client, by its path in the package, formatted."""
    operations: dict[str, list[tuple[str, str, Schema]]] = defaultdict(list)
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods:
                operations[methods[method]["tags"][0]].append((method, path, methods[method]))
    files = {"models.py": "\n".join(_models(document["components"]["schemas"]))}
    for tag, those in sorted(operations.items()):
        files[f"operations/{_snake(tag)}.py"] = "\n".join(_module(tag, those))
    files["operations/__init__.py"] = "\n".join(_all_of(sorted(operations)))
    return {name: _formatted(text) for name, text in files.items()}


def _formatted(text: str) -> str:
    quietly = ["--quiet", "--stdin-filename", "services/client/generated.py", "-"]
    for task in (["check", "--select", "I,F401", "--fix"], ["format"]):
        command = [sys.executable, "-m", "ruff", *task, *quietly]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
        text = done.stdout
    return text


def _snake(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_").lower()


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in re.split(r"\W+|_", name))


def _field(name: str) -> str:
    safe = re.sub(r"\W", "_", name)
    return f"{safe}_" if keyword.iskeyword(safe) else safe


def _docstring(text: str, indent: int) -> Iterator[str]:
    """The text as a docstring: what stands in lines of its own stays there."""
    pad = " " * indent
    text = inspect.cleandoc(text).replace("\\", "\\\\")
    lines = [
        line
        for paragraph in text.split("\n")
        for line in (textwrap.wrap(paragraph, WIDTH - indent) or [""])
    ]
    if len(lines[0]) > WIDTH - indent - 3:
        lines[:1] = textwrap.wrap(lines[0], WIDTH - indent - 3)
    if len(lines) == 1:
        yield f'{pad}"""{lines[0]}"""'
        return
    yield f'{pad}"""{lines[0]}'
    yield from (f"{pad}{line}".rstrip() for line in lines[1:])
    yield f'{pad}"""'


# Types


def _type(schema: Schema, models: str) -> str:
    """The annotation for a schema; `models` is how its module is called there."""
    if not schema or set(schema) <= {"title", "description", "default"}:
        return "Any"
    if "$ref" in schema:
        return models + str(schema["$ref"]).removeprefix(_REF)
    for group in ("anyOf", "oneOf"):
        if group in schema:
            return " | ".join(dict.fromkeys(_type(one, models) for one in schema[group]))
    if "const" in schema:
        return f"Literal[{schema['const']!r}]"
    if "enum" in schema:
        return f"Literal[{', '.join(repr(one) for one in schema['enum'])}]"
    kind = schema.get("type")
    if kind == "array":
        return f"tuple[{_type(schema.get('items', {}), models)}, ...]"
    if kind == "object":
        inner = schema.get("additionalProperties", {})
        return f"dict[str, {_type(inner, models) if isinstance(inner, Mapping) else 'Any'}]"
    if isinstance(kind, str) and kind in SCALARS:
        return SCALARS[kind]
    raise ValueError(f"a schema that the generator does not know: {schema}")


def _default(schema: Schema, schemas: Schema) -> str | None:
    """The default of a field as source, None where it has none."""
    if "default" not in schema:
        return None
    value = schema["default"]
    array = next((one for one in _ways(schema) if one.get("type") == "array"), {})
    if isinstance(value, list):
        item = array.get("items", {}).get("$ref")
        if not value or item is None:
            return f"{tuple(value)!r}"
        made = ", ".join(_made(item, one, schemas) for one in value)
        return f"msgspec.field(default_factory=lambda: ({made},))"
    name = next((one["$ref"] for one in _ways(schema) if "$ref" in one), None)
    if isinstance(value, dict) and name is not None:
        return f"msgspec.field(default_factory=lambda: {_made(name, value, schemas)})"
    return repr(value)


def _made(reference: str, value: Mapping[str, Any], schemas: Schema) -> str:
    """The call that makes a struct of these plain values; what is default is left out."""
    model = reference.removeprefix(_REF)
    fields = schemas[model].get("properties", {})
    given = {
        _field(key): one
        for key, one in value.items()
        if one != fields.get(key, {}).get("default", ...)
    }
    return f"{model}({', '.join(f'{key}={one!r}' for key, one in given.items())})"


def _ways(schema: Schema) -> list[Schema]:
    return list(schema.get("anyOf", schema.get("oneOf", [schema])))


def _models(schemas: Schema) -> Iterator[str]:
    yield f'"""What the marketers\' API takes and answers.\n\n{HEAD}\n"""\n'
    yield "from typing import Any, Literal\n"
    yield "import msgspec\n"
    for name in sorted(schemas):
        if not schemas[name].get("properties") and schemas[name].get("type") != "object":
            yield f"\n{name} = {_type(schemas[name], '')}\n"
            continue
        yield from _struct(name, schemas)


def _struct(name: str, schemas: Schema) -> Iterator[str]:
    schema = schemas[name]
    renamed = {_field(key): key for key in schema.get("properties", {}) if _field(key) != key}
    options = "frozen=True, kw_only=True, omit_defaults=True"
    if renamed:
        options += f", rename={renamed!r}"
    yield f"\n\nclass {name}(msgspec.Struct, {options}):"
    told = schema.get("description") or f"{name}."
    yield from _docstring(told, 4)
    yield ""
    required = set(schema.get("required", ()))
    for key, one in schema.get("properties", {}).items():
        annotation = _type(one, "")
        # Quoted: a struct may hold itself, or one further down.
        if "$ref" in str(one):
            annotation = f'"{annotation}"'
        default = None if key in required else _default(one, schemas)
        if key not in required and default is None:
            annotation = f"{annotation.rstrip(chr(34))} | msgspec.UnsetType" + (
                '"' if annotation.endswith('"') else ""
            )
            default = "msgspec.UNSET"
        yield f"    {_field(key)}: {annotation}" + ("" if default is None else f" = {default}")


# Operations


def _module(tag: str, operations: list[tuple[str, str, Schema]]) -> Iterator[str]:
    yield f'"""Operations of the API on {tag}.\n\n{HEAD}\n"""\n'
    yield "from collections.abc import Mapping\nfrom typing import Any, Literal\n"
    yield "from services.client import models\n"
    yield "from services.client.calling import Answer, Caller, segment\n"
    yield f"\n\nclass {_camel(tag)}(Caller):"
    yield f'    """Operations on {tag}."""\n'
    for method, path, operation in operations:
        yield from _operation(method, path, operation)


def _operation(method: str, path: str, operation: Schema) -> Iterator[str]:
    parameters = operation.get("parameters", [])
    required = [one for one in parameters if one.get("required")]
    optional = [one for one in parameters if not one.get("required")]
    positional = [one for one in required if one["in"] == "path"]
    body = _body(operation)
    signature = [_declared(one) for one in positional]
    signature += [f"body: {body}"] if body else []
    keywords = [_declared(one) for one in required if one not in positional]
    keywords += [f"{_optional(_declared(one))} = None" for one in optional]
    if keywords:
        signature += ["*", *keywords]
    answer, status = _answer(operation)
    yield f"    async def {operation['operationId']}("
    yield f"        self, {', '.join(signature)}"
    yield f"    ) -> Answer[{answer}]:"
    yield from _docstring(_told(operation, parameters), 8)
    yield f'        return await self.call("{method.upper()}", {_place(path)}, {answer},'
    for name in ("query", "header"):
        those = [one for one in parameters if one["in"] == name]
        if those:
            pairs = ", ".join(f'"{one["name"]}": {_argument(one)}' for one in those)
            yield f"            {name}={{{pairs}}},"
    if body:
        media = next(iter(operation["requestBody"]["content"]))
        yield "            body=body,"
        if media != "application/json":
            yield f'            media="{media}",'
    yield "        )\n"
    assert status < 300


def _told(operation: Schema, parameters: list[Schema]) -> str:
    text = f"{operation['summary'].rstrip('.')}."
    if operation.get("description"):
        text += f"\n\n{inspect.cleandoc(operation['description'])}"
    if operation.get("x-role"):
        text += f"\n\nNeeds the role {operation['x-role']}."
    notes = [
        f"{_argument(one)}: {one['description'].rstrip('.')}."
        for one in parameters
        if one.get("description")
    ]
    if notes:
        text += "\n\n" + "\n".join(notes)
    return text


def _declared(parameter: Schema) -> str:
    return f"{_argument(parameter)}: {_type(parameter['schema'], 'models.')}"


def _argument(parameter: Schema) -> str:
    return _name(parameter["name"])


def _name(parameter: str) -> str:
    name = _field(_snake(parameter.replace("-", "_")))
    return f"{name}_" if hasattr(builtins, name) else name


def _optional(annotation: str) -> str:
    return annotation if "None" in annotation.split(" | ") else f"{annotation} | None"


def _place(path: str) -> str:
    filled = re.sub(r"\{([^}:]+)(:[^}]*)?\}", lambda found: f"{{segment({_name(found[1])})}}", path)
    return f'f"{filled}"' if filled != path else f'"{path}"'


def _body(operation: Schema) -> str | None:
    if "requestBody" not in operation:
        return None
    content = operation["requestBody"]["content"]
    annotation = _type(next(iter(content.values()))["schema"], "models.")
    annotation = "Mapping[str, Any]" if annotation.startswith("dict") else annotation
    if annotation.startswith("models."):
        annotation += " | Mapping[str, Any]"
    return annotation if operation["requestBody"].get("required") else f"{annotation} | None"


def _answer(operation: Schema) -> tuple[str, int]:
    """The type of the answer of success and its status; `None` where it has no body."""
    status = next(code for code in sorted(operation["responses"]) if code.startswith("2"))
    content = operation["responses"][status].get("content", {})
    if "application/json" not in content:
        return "None", int(status)
    return _type(content["application/json"]["schema"], "models."), int(status)


def _all_of(tags: list[str]) -> Iterator[str]:
    yield f'"""All operations of the API.\n\n{HEAD}\n"""\n'
    for tag in tags:
        yield f"from services.client.operations.{_snake(tag)} import {_camel(tag)}"
    yield f"\n\nclass Operations({', '.join(_camel(tag) for tag in tags)}):"
    yield '    """Every operation, of every kind."""'
