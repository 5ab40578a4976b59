"""GET /directions: what /edit can change, in which unit and how far."""

from fastapi import APIRouter

from service.errors import NotReadyError, UnauthorizedError
from service.handlers.runtime import Shared
from service.wire.directions import DirectionObject, DirectionsAnswer
from service.wire.problems import responses

router = APIRouter(tags=["edit"])


@router.get(
    "/directions",
    summary="List directions",
    operation_id="list_directions",
    responses=responses(NotReadyError, UnauthorizedError),
)
async def directions(runtime: Shared) -> DirectionsAnswer:
    """List the attributes that /edit can change, with their units and safe ranges."""
    rows = []
    for name, direction in sorted(runtime.require_loaded().directions.items()):
        known = direction.calibration
        rows.append(
            DirectionObject(
                name=name,
                title=known.title,
                unit=known.unit,
                safe=known.held,
                calibrated=known.safe is not None,
                furthest=known.furthest,
                default=known.default,
                rows=direction.rows,
                moves_along=dict(known.moves_along),
                description=known.description,
                measured_by=known.measured_by,
            )
        )
    return DirectionsAnswer(directions=rows)
