"""What documents say about themselves, and the filter that chooses documents by it."""

import math
from typing import Annotated
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
)

from domain.text import clean_text

MAX_KEYS = 20
MAX_KEY = 50
MAX_VALUE = 500
MAX_SOURCE = 2_048
_LARGEST = 2**53
"""Beyond it, JSON's readers disagree about a whole number."""


def _value(value: object) -> object:
    """One sentence for what would be an error of each kind of value in turn."""
    if isinstance(value, str):
        if len(clean_text(value)) > MAX_VALUE:
            raise ValueError(f"must be at most {MAX_VALUE} characters")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("must be a finite number")
    elif isinstance(value, int):
        if abs(value) > _LARGEST:
            raise ValueError("is too large a number")
    else:
        raise ValueError("must be a text, a number, or true or false")
    return value


def _several(value: object) -> object:
    """One value stands for a list of one."""
    return value if isinstance(value, list | tuple) else (value,)


MetadataKey = Annotated[str, AfterValidator(clean_text), Field(min_length=1, max_length=MAX_KEY)]
MetadataValue = Annotated[StrictBool | StrictInt | StrictFloat | StrictStr, BeforeValidator(_value)]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=MAX_KEYS)]
"""Flat: up to 20 names of up to 50 characters, each with a text of up to 500, a number, or true or false."""
WantedValues = Annotated[tuple[MetadataValue, ...], BeforeValidator(_several), Field(min_length=1, max_length=20)]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$", description="ISO 639 code, such as `en`.")]
Source = Annotated[str, AfterValidator(clean_text), Field(min_length=1, max_length=MAX_SOURCE)]


class DocumentFilter(BaseModel):
    """Documents for which everything holds that is given; of several values of one field, any may hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    document_ids: tuple[UUID, ...] = Field((), max_length=100)
    languages: tuple[Language, ...] = Field((), max_length=20)
    media_types: tuple[Annotated[str, AfterValidator(clean_text), Field(max_length=100)], ...] = Field(
        (), max_length=20
    )
    name: Annotated[str, AfterValidator(clean_text)] | None = Field(
        None, min_length=1, max_length=255, description="A part of the name, in any case."
    )
    source: Source | None = Field(None, description="What the address or path begins with.")
    metadata: dict[MetadataKey, WantedValues] = Field(
        {}, max_length=10, description="Values by name; of a list one has to be there."
    )

    @property
    def empty(self) -> bool:
        """Whether every document passes."""
        return self == _EVERYTHING


_EVERYTHING = DocumentFilter()
