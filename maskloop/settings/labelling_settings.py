"""The section [labelling] of `maskloop.toml`: what is labelled, where, and which labels are taken back."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from maskloop.settings.sections import Count, Percent, Section, Share


class LabellingSettings(Section):
    """Which pictures are labelled, where, and which labels are taken back."""

    num_pictures: Count = 50
    """Pictures of a request."""
    random_percent: Percent = 20.0
    """Share of a request that is drawn at random, so that quality can be estimated without bias."""
    shortlist_factor: Count = 5
    """The champion looks in several views at this many times as many pictures as it chooses by them."""
    tool: Literal["folder", "label-studio", "cvat"] = "folder"
    url: str = ""
    """The address of Label Studio or CVAT."""
    token_variable: Annotated[str, Field(pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")] = ""
    """The environment variable that holds its access token; the token itself is written nowhere.

    Empty: `LABEL_STUDIO_API_KEY` or `CVAT_ACCESS_TOKEN`.
    """
    project: Annotated[str, Field(pattern=r"^(.{3,50})?$")] = ""
    """The project's title, as Label Studio takes one; empty: `maskloop` and the model's name."""
    organization: Annotated[str, Field(pattern=r"^[\w-]*$")] = ""
    """Short name of CVAT's organization that has the project; empty: the token's owner has it."""
    pictures_per_job: Count = 10
    """So many pictures are one job in CVAT, which one person finishes."""
    finished_stage: Literal["annotation", "validation", "acceptance"] = "annotation"
    """A job of CVAT that is completed in an earlier stage is not finished."""
    folder: str = ".maskloop/labelling"
    """Of the tool `folder`, relative to the workspace."""
    request_on_drift: Annotated[int, Field(ge=0)] = 0
    """A drift cycle that waits for labels requests and pushes so many pictures by itself; 0: it does not."""
    outlines: Literal["brush", "polygon"] = "brush"
    """`polygon` sends masks of one part without a hole as polygons; Label Studio's have no holes."""
    two_annotators: Literal["newest", "agree-or-skip"] = "newest"
    """Which annotation of a picture counts, unless one is marked as ground truth."""
    min_agreement: Share = 0.8
    """Mask IoU, in every class, from which on two annotators agree."""
    max_accepted_percent: Percent = 50.0
    """Largest share of a request's labels that may be model answers accepted without a change."""

    @field_validator("url")
    @classmethod
    def _is_a_server_s(cls, url: str) -> str:
        if url and not url.startswith(("http://", "https://")):
            raise ValueError("begins with http:// or https://")
        if "@" in url.partition("://")[2].partition("/")[0]:
            raise ValueError("must not contain a user or password; token_variable names where the token is")
        if re.search(r"/(projects|tasks|jobs)(/|$)", url):
            raise ValueError("is the address of the server, without the path of a project or task")
        return url

    @model_validator(mode="after")
    def _a_server_has_an_address(self) -> LabellingSettings:
        if self.tool != "folder" and not self.url:
            raise ValueError(f"url is missing: the address of the {self.tool} server")
        return self
