"""Compares requests with Firecracker's API description: Swagger 2.0, its src/firecracker/swagger/firecracker.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft4Validator
from ruamel.yaml import YAML

CHANGING = ("put", "patch")


@dataclass(frozen=True)
class Coverage:
    """How many are used, and how many there are: paths, their operations, and fields of the operations' bodies."""

    paths: tuple[int, int]
    operations: tuple[int, int]
    fields: tuple[int, int]

    def __str__(self) -> str:
        parts = {"paths": self.paths, "operations": self.operations, "fields": self.fields}
        return ", ".join(f"{used} of {described} {name}" for name, (used, described) in parts.items())


class ApiDescription:
    """The paths and definitions of a description. Firecracker rejects fields that it does not define; so does this."""

    def __init__(self, text: str) -> None:
        found = YAML(typ="safe", pure=True).load(text)
        self.version: str = str(found["info"]["version"])
        self._paths: Mapping[str, Any] = found["paths"]
        self._definitions = {name: _closed(schema) for name, schema in found["definitions"].items()}

    @classmethod
    def read(cls, path: Path) -> ApiDescription:
        return cls(path.read_text(encoding="utf-8"))

    def problems(self, request: Mapping[str, Any]) -> list[str]:
        """One sentence for each way in which a request differs. request: `method`, `path`, `body` of api.jsonl."""
        method, path = request["method"], request["path"]
        template = self._template(path)
        if template is None:
            return [f"{path}: no such path in version {self.version}"]
        operation = self._paths[template].get(method.lower())
        if operation is None:
            return [f"{method} {path}: no such method in version {self.version}"]
        body = self._body(template, method.lower())
        if not body:
            return [f"{method} {path}: takes no body, found {request['body']}"] if request["body"] else []
        schema = {**body, "definitions": self._definitions}
        errors = Draft4Validator(schema).iter_errors(request["body"])
        return [f"{method} {path}: {'.'.join(map(str, error.path)) or 'body'}: {error.message}" for error in errors]

    def coverage(self, requests: Iterable[Mapping[str, Any]]) -> Coverage:
        """How much of what the description has the requests use. Only operations that change something count."""
        sent = list(requests)
        operations = {(template, method) for template, item in self._paths.items() for method in item}
        changing = {(template, method) for template, method in operations if method in CHANGING}
        used = {(self._template(request["path"]), request["method"].lower()) for request in sent}
        described = {
            (template, method, field)
            for template, method in changing
            for field in self._fields(self._body(template, method), frozenset())
        }
        fields = {
            (self._template(request["path"]), request["method"].lower(), field)
            for request in sent
            for field in _names(request["body"])
        }
        paths = {template for template, _ in changing}
        return Coverage(
            paths=(len({template for template, _ in used} & paths), len(paths)),
            operations=(len(used & changing), len(changing)),
            fields=(len(fields & described), len(described)),
        )

    def _body(self, template: str, method: str) -> Mapping[str, Any]:
        parameters = self._paths[template][method].get("parameters", ())
        return next((each["schema"] for each in parameters if each["in"] == "body"), {})

    def _fields(self, schema: Mapping[str, Any], within: frozenset[str]) -> Iterator[str]:
        """The names of all fields of a body, as in `limiter.size`. within: the definitions around it, maybe its own."""
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[-1]
            if name not in within:
                yield from self._fields(self._definitions[name], within | {name})
        elif "items" in schema:
            yield from self._fields(schema["items"], within)
        for field, inner in schema.get("properties", {}).items():
            yield field
            yield from (f"{field}.{each}" for each in self._fields(inner, within))

    def _template(self, path: str) -> str | None:
        for template in self._paths:
            pattern = "[^/]+".join(re.escape(part) for part in re.split(r"\{[^}]*\}", template))
            if re.fullmatch(pattern, path):
                return template
        return None


def _names(body: Any) -> Iterator[str]:
    """The names of all fields that a body has, like ApiDescription._fields()."""
    if isinstance(body, list):
        for each in body:
            yield from _names(each)
    elif isinstance(body, Mapping):
        for field, inner in body.items():
            yield field
            yield from (f"{field}.{each}" for each in _names(inner))


def _closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """An object may have no other fields than its properties."""
    return {**schema, "additionalProperties": False} if "properties" in schema else dict(schema)
