"""The answer to several photos in one request: each has its own answer or problem."""

from pydantic import BaseModel, Field

from service.wire.problems import Problem
from service.wire.schemas import EmbedAnswer


class PhotoResult(BaseModel):
    """What became of one photo."""

    answer: EmbedAnswer | None = Field(default=None, description="Absent if there is a problem.")
    problem: Problem | None = Field(default=None, description="Why the photo has no answer.")


class EmbedManyAnswer(BaseModel):
    """Answer of /embed to several photos."""

    results: list[PhotoResult] = Field(description="One for each photo, in order.")
    timings_ms: dict[str, float] = Field(description="`total`: milliseconds for all of them.")
