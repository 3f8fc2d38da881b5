"""The table of states: what may become what."""

from itertools import product

import pytest

from distfile_mirror.errors import ConflictError
from distfile_mirror.model.states import ALLOWED_MOVES, State, check_moves

MOVES = {
    ("requested", "pending"),
    ("requested", "rejected"),
    ("rejected", "pending"),
    ("pending", "fetching"),
    ("fetching", "present"),
    ("fetching", "failed"),
    ("failed", "pending"),
    ("present", "blocked"),
    ("present", "pending"),
    ("pending", "blocked"),
    ("fetching", "blocked"),
    ("failed", "blocked"),
    ("blocked", "present"),
}


@pytest.mark.parametrize(("here", "there"), list(product(State, State)))
def test_exactly_these_moves_are_possible(here, there):
    if (here, there) in MOVES:
        assert check_moves(here, there) is there
    else:
        with pytest.raises(ConflictError, match=f"what is {here} cannot become {there}"):
            check_moves(here, there)


def test_every_state_has_a_row():
    assert set(ALLOWED_MOVES) == set(State)


def test_what_is_present_needs_no_approval_again():
    reachable, new = {State.PRESENT}, {State.PRESENT}
    while new:
        new = set().union(*(ALLOWED_MOVES[state] for state in new)) - reachable
        reachable |= new
    # More of an image may be wanted; nothing leads back to where nobody has approved it.
    assert reachable == set(State) - {State.REQUESTED, State.REJECTED}


def test_each_step_of_a_path_is_checked():
    assert check_moves(State.FETCHING, State.FAILED, State.PENDING) is State.PENDING
    with pytest.raises(ConflictError, match="from pending it can become: blocked, fetching"):
        check_moves(State.FAILED, State.PENDING, State.PRESENT)
