"""The gate."""

import pytest

from service.errors import DrainingError, EngineDownError, NotReadyError, OverloadedError
from service.serving.gate import Gate


def test_it_admits_up_to_its_limit():
    gate = Gate(2, lambda: None)
    with gate.enter("embed"), gate.enter("morph"):
        assert gate.inflight == 2
        assert (gate.inflight_of("embed"), gate.inflight_of("colorize")) == (1, 0)
        with pytest.raises(OverloadedError, match="limit of 2 requests"), gate.enter("embed"):
            pass
    with gate.enter("embed"):
        assert gate.inflight == 1
    assert gate.inflight == 0


def test_a_failure_frees_the_slot():
    gate = Gate(1, lambda: None)
    with pytest.raises(ZeroDivisionError), gate.enter("embed"):
        raise ZeroDivisionError
    assert gate.inflight == 0


def test_the_gate_is_closed_before_readiness_and_while_draining():
    refusals = [EngineDownError("dead"), NotReadyError("loading")]

    def check_ready():
        if refusals:
            raise refusals.pop()

    gate = Gate(1, check_ready)
    for refusal in (NotReadyError, EngineDownError):
        with pytest.raises(refusal), gate.enter("embed"):
            pass
    assert gate.inflight == 0
    gate.check()
    gate.drain()
    with pytest.raises(DrainingError), gate.enter("embed"):
        pass
