"""Requests that do not follow Firecracker's API description are found."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.api_description import ApiDescription, Coverage

DESCRIPTION = """
swagger: "2.0"
info: {version: "9.9"}
paths:
  /drives/{drive_id}:
    put:
      parameters:
        - {name: drive_id, in: path, required: true, type: string}
        - {name: body, in: body, required: true, schema: {$ref: "#/definitions/Drive"}}
  /version:
    get: {responses: {}}
  /vm:
    patch:
      parameters: [{name: body, in: body, required: true, schema: {$ref: "#/definitions/Vm"}}]
definitions:
  Drive:
    type: object
    required: [drive_id]
    properties: {drive_id: {type: string}, is_read_only: {type: boolean}, limiter: {$ref: "#/definitions/Limiter"}}
  Limiter: {type: object, properties: {size: {type: integer, minimum: 0}}}
  Vm: {type: object, required: [state], properties: {state: {type: string, enum: [Paused, Resumed]}}}
"""
GOOD = {"method": "PUT", "path": "/drives/rootfs", "body": {"drive_id": "rootfs", "limiter": {"size": 1}}}


@pytest.fixture
def description() -> ApiDescription:
    return ApiDescription(DESCRIPTION)


def test_request_that_follows_it_is_accepted(description: ApiDescription) -> None:
    assert description.problems(GOOD) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"path": "/drive/rootfs"}, "no such path in version 9.9"),
        ({"path": "/drives/rootfs/more"}, "no such path"),
        ({"method": "PATCH"}, "no such method"),
        ({"body": {}}, "'drive_id' is a required property"),
        ({"body": {"drive_id": 1}}, "1 is not of type 'string'"),
        ({"body": {"drive_id": "rootfs", "read_only": True}}, "'read_only' was unexpected"),
        ({"body": {"drive_id": "rootfs", "limiter": {"size": -1}}}, "limiter.size: -1 is less than"),
        ({"path": "/vm", "method": "PATCH", "body": {"state": "Gone"}}, "'Gone' is not one of"),
        ({"path": "/version", "method": "GET", "body": {"x": 1}}, "takes no body"),
    ],
)
def test_request_that_differs_is_rejected(change: dict[str, Any], problem: str, description: ApiDescription) -> None:
    (found,) = description.problems({**GOOD, **change})
    assert problem in found


def test_coverage_counts_what_changes_something(description: ApiDescription) -> None:
    found = description.coverage([GOOD, GOOD, {"method": "GET", "path": "/version", "body": None}])
    assert found == Coverage(paths=(1, 2), operations=(1, 2), fields=(3, 5))
    assert str(found) == "1 of 2 paths, 1 of 2 operations, 3 of 5 fields"


def test_field_that_is_not_described_does_not_count(description: ApiDescription) -> None:
    unknown = {**GOOD, "body": {"drive_id": "x", "read_only": True}}
    assert description.coverage([unknown]).fields == (1, 5)
