"""Compares recorded requests and answers with CVAT's published schema, as cvat-sdk's models have it.

    python -m tests.label_tools.cvat_schema FILE    # within the environment of cvat-sdk

The file holds a list of exchanges, as `tests.fakes.cvat_server.FakeCvat.exchanges` has them.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cvat_sdk.api_client import ApiClient, Configuration, apis, models
from cvat_sdk.api_client.exceptions import OpenApiException
from cvat_sdk.api_client.model_utils import validate_and_convert_types

_WORDS: Final = {
    ("JobRead", "state"): "OperationStatus",
    ("JobRead", "stage"): "JobStage",
    ("JobRead", "type"): "JobType",
    ("JobRead", "status"): "JobStatus",
    ("TaskRead", "status"): "JobStatus",
    ("Label", "type"): "LabelType",
    ("PatchedLabelRequest", "type"): "LabelType",
}
"""Models whose words the schema lists, though the generated models take any."""


def find_endpoints() -> dict[tuple[str, str], Any]:
    """Return every operation of the schema by method and the pattern of its path."""
    client = ApiClient(Configuration(host="http://cvat"))
    found = {}
    for name in dir(apis):
        if name.endswith("Api"):
            for key, one in vars(getattr(apis, name)(client)).items():
                if key.endswith("_endpoint"):
                    pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(one.settings["endpoint_path"]))
                    found[one.settings["http_method"], pattern] = one
    return found


def find_problems(exchange: dict[str, Any], endpoints: dict[tuple[str, str], Any]) -> Iterator[str]:
    """Yield what of a request or its answer the schema does not know or does not allow."""
    place = f"{exchange['method']} {exchange['path']}"
    fitting = [
        one
        for (method, pattern), one in endpoints.items()
        if method == exchange["method"] and re.fullmatch(pattern, exchange["path"])
    ]
    if not fitting:
        yield f"{place}: there is no such operation"
        return
    endpoint = fitting[0]
    places, types = endpoint.location_map, endpoint.openapi_types
    known = {endpoint.attribute_map.get(key, key): key for key, place in places.items() if place == "query"}
    for key, value in exchange["query"].items():
        if key not in known:
            yield f"{place}: there is no parameter {key}"
        elif types[known[key]] == (int,) and not value.isdecimal():
            yield f"{place}: the parameter {key} is a number, not {value!r}"
    if exchange["sent"] is not None:
        bodies = [key for key, place in places.items() if place == "body"]
        wanted = types[bodies[0]] if bodies else ()
        yield from _compare(exchange["sent"], wanted, f"{place}: sent")
    if exchange["answered"] is not None and exchange["status"] < 400:
        yield from _compare(exchange["answered"], endpoint.settings["response_schema"], f"{place}: answered")


def _compare(value: Any, wanted: Any, place: str) -> Iterator[str]:
    if not wanted:
        yield f"{place} JSON, where the schema has none"
        return
    try:
        model = validate_and_convert_types(value, wanted, [place], True, True, configuration=Configuration())
    except (OpenApiException, TypeError, ValueError) as error:
        yield f"{place}: {error}"
    else:
        yield from _find_unknown(value, model, place)


def _find_unknown(value: Any, model: Any, place: str) -> Iterator[str]:
    """Yield what models let pass: keys that they do not have, and words of a list that they left open."""
    if isinstance(value, list):
        for one, own in zip(value, model, strict=True):
            yield from _find_unknown(one, own, place)
    elif isinstance(value, dict) and hasattr(model, "attribute_map"):
        attributes = {name: key for key, name in model.attribute_map.items()}
        for key, one in value.items():
            kind = type(model).__name__
            if key not in attributes:
                yield f"{place}: {kind} has no {key}"
                continue
            yield from _find_unknown(one, getattr(model, attributes[key]), f"{place}, {key}")
            words = getattr(models, _WORDS[kind, key]).allowed_values if (kind, key) in _WORDS else {}
            if words and one not in words["value",].values():
                yield f"{place}: {key} of {kind} cannot be {one!r}"


def main(file: str) -> int:
    """Print the problems of a file; return how many there are."""
    endpoints = find_endpoints()
    exchanges = json.loads(Path(file).read_text())
    problems = [text for one in exchanges for text in find_problems(one, endpoints)]
    print("\n".join(dict.fromkeys(problems)))
    print(f"{len(exchanges)} exchanges, {len(endpoints)} operations known, {len(problems)} problems")
    return len(problems)


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1]), 1))
