"""Compares requests with Firecracker's API description: Swagger 2.0, its src/firecracker/swagger/firecracker.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft4Validator
from ruamel.yaml import YAML

CHANGING = ("put", "patch")


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
        bodies = [each["schema"] for each in operation.get("parameters", ()) if each["in"] == "body"]
        if not bodies:
            return [f"{method} {path}: takes no body, found {request['body']}"] if request["body"] else []
        schema = {**bodies[0], "definitions": self._definitions}
        errors = Draft4Validator(schema).iter_errors(request["body"])
        return [f"{method} {path}: {'.'.join(map(str, error.path)) or 'body'}: {error.message}" for error in errors]

    def coverage(self, requests: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
        """How many of the operations that change something the requests use, and how many there are."""
        operations = {(template, method) for template, item in self._paths.items() for method in item}
        changing = {(template, method) for template, method in operations if method in CHANGING}
        used = {(self._template(request["path"]), request["method"].lower()) for request in requests}
        return len(used & changing), len(changing)

    def _template(self, path: str) -> str | None:
        for template in self._paths:
            pattern = "[^/]+".join(re.escape(part) for part in re.split(r"\{[^}]*\}", template))
            if re.fullmatch(pattern, path):
                return template
        return None


def _closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """An object may have no other fields than its properties."""
    return {**schema, "additionalProperties": False} if "properties" in schema else dict(schema)
