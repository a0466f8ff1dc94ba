from __future__ import annotations

import pytest

from maskloop.errors import ConfigurationError
from maskloop.settings.workspace_settings import parse_settings


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"tool": "label-studio"}, "url is missing"),
        ({"url": "https://anna:secret@studio.example"}, "must not contain a user or password"),
        ({"url": "http://studio.example:8080/projects/3/data?tab=1"}, "without the path of a project"),
        ({"url": "https://cvat.example/tasks/12"}, "without the path of a project"),
        ({"url": "studio.example"}, "begins with http"),
        ({"token_variable": "a b"}, "token_variable"),
        ({"tool": "crayons"}, "tool"),
    ],
)
def test_a_section_that_cannot_work_is_refused(section: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_settings({"labelling": section})


@pytest.mark.parametrize("tool", ["label-studio", "cvat"])
def test_a_server_needs_its_address_alone(tool: str) -> None:
    address = "http://127.0.0.1:8080"
    found = parse_settings({"labelling": {"tool": tool, "url": address}}).labelling
    assert (found.url, found.token_variable, found.project) == (address, "", "")
