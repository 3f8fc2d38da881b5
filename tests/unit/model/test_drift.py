"""What upstreams say, and what is made of it."""

import pytest

from distfile_mirror.model.drift import Said, Stored, Verdict, judge

MODIFIED, LATER = "Mon, 01 Jan 2024 00:00:00 GMT", "Tue, 02 Jan 2024 00:00:00 GMT"


@pytest.mark.parametrize(
    ("stored", "said", "verdict"),
    [
        (Stored(5, MODIFIED, False), Said(200, 5, MODIFIED, False), Verdict.SAME),
        (Stored(5, "", False), Said(200, 5, LATER, False), Verdict.SAME),
        (Stored(5, MODIFIED, False), Said(200, 6, MODIFIED, False), Verdict.CHANGED),
        (Stored(5, MODIFIED, False), Said(200, 5, LATER, False), Verdict.PERHAPS_CHANGED),
        (Stored(5, MODIFIED, False), Said(200, None, LATER, False), Verdict.PERHAPS_CHANGED),
        (Stored(5, MODIFIED, False), Said(200, 3, MODIFIED, True), Verdict.SAME),  # another coding, another length
        (Stored(5, "", False), Said(200, None, "", False), Verdict.UNKNOWN),
        (Stored(5, MODIFIED, False), Said(404, 0, "", False), Verdict.GONE),
        (Stored(5, MODIFIED, False), Said(410, 0, "", False), Verdict.GONE),
        (Stored(5, MODIFIED, False), Said(403, 5, MODIFIED, False), Verdict.UNKNOWN),
        (Stored(5, MODIFIED, False), Said(405, None, "", False), Verdict.UNKNOWN),
        (Stored(5, MODIFIED, False), Said(503, None, "", False), Verdict.UNKNOWN),
    ],
)
def test_verdicts(stored, said, verdict):
    found, message = judge(stored, said)
    assert found is verdict
    assert bool(message) == (verdict is not Verdict.SAME)
