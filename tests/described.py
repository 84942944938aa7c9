"""Whether an answer is as the API document describes it."""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from slotwise.app import Application, build
from slotwise.http.api_document import openapi_document
from slotwise.settings import load_settings

# Headers that say nothing about an answer of the API: those of every HTTP message, and those that browsers obey.
GENERAL = {"connection", "content-length", "content-type", "date", "transfer-encoding", "vary"}
BROWSERS = {
    "content-security-policy",
    "cross-origin-resource-policy",
    "referrer-policy",
    "strict-transport-security",
    "x-content-type-options",
}
# Sent with one of two codes of 415.
SOMETIMES = {"accept-encoding"}


@cache
def application() -> Application:
    """What this version serves, to be looked at. It takes a second to build."""
    return build(load_settings({}))


@cache
def document() -> dict[str, Any]:
    """Its API document. Not to be changed."""
    return openapi_document(application())


def resolved(value: dict[str, Any]) -> dict[str, Any]:
    """What a reference stands for."""
    if "$ref" not in value:
        return value
    _, _, kind, name = value["$ref"].split("/")
    found: dict[str, Any] = document()["components"][kind][name]
    return found


def described(method: str, path: str, status: int, sent: Mapping[str, str], body: bytes) -> None:
    """Assert that the document describes this answer: its status, type, headers and, for a problem, its code."""
    answers = document()["paths"][path][method.lower()]["responses"]
    assert str(status) in answers, (method, path, status, body)
    answer = resolved(answers[str(status)])
    headers = {name.lower(): resolved(header)["schema"] for name, header in answer["headers"].items()}
    names = {name.lower() for name in sent}
    assert names - GENERAL - BROWSERS <= set(headers), (method, path, status)
    assert set(headers) - SOMETIMES <= names, (method, path, status)
    for name, schema in headers.items():
        value = sent.get(name, schema.get("enum", [""])[0])
        assert value in schema.get("enum", [value]), (path, name, value)
        assert re.search(schema.get("pattern", ""), value), (path, name, value)
    media_type = sent.get("content-type", "").partition(";")[0]
    assert media_type in (set(answer.get("content", ())) or {""}), (method, path, status, media_type)
    if media_type == "application/problem+json":
        problem = json.loads(body)
        assert problem["code"] in answer["content"][media_type]["examples"], (method, path, problem)
