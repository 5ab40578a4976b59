"""The gate."""

import pytest

from service.admission import Gate
from service.errors import DrainingError, NotReadyError, OverloadedError


def test_it_holds_as_many_as_it_may_and_no_more():
    gate = Gate(2, lambda: True)
    with gate.enter(), gate.enter():
        assert gate.inflight == 2
        with pytest.raises(OverloadedError, match="under 2, got 2"), gate.enter():
            pass
    with gate.enter():
        assert gate.inflight == 1
    assert gate.inflight == 0


def test_a_failure_inside_frees_the_place():
    gate = Gate(1, lambda: True)
    with pytest.raises(ZeroDivisionError), gate.enter():
        raise ZeroDivisionError
    assert gate.inflight == 0


def test_it_is_shut_before_readiness_and_while_draining():
    ready = False
    gate = Gate(1, lambda: ready)
    with pytest.raises(NotReadyError), gate.enter():
        pass
    ready = True
    gate.check()
    gate.drain()
    with pytest.raises(DrainingError), gate.enter():
        pass
