from dataclasses import dataclass

from distfile_mirror.downloaders.backlog import Backlog


@dataclass(frozen=True)
class Row:
    row_id: int
    host: str
    uri: str = ""
    attempts: int = 0
    request_id: str = ""


def rows(host, count, start=0):
    return [Row(number, host) for number in range(start, start + count)]


def start_all(backlog):
    started = []
    while row := backlog.start_next():
        started.append(row)
    return started


def test_limits_in_all_and_per_host():
    backlog = Backlog(concurrency=5, per_host=2)
    backlog.add(rows("a", 9) + rows("b", 1, 100) + rows("c", 9, 200))
    assert [row.host for row in start_all(backlog)] == ["a", "b", "c", "a", "c"]
    backlog.finish("b")
    assert start_all(backlog) == []  # a and c have their two
    backlog.finish("a")
    assert [row.row_id for row in start_all(backlog)] == [2]
    assert backlog.active == 4


def test_one_host_does_not_fill_the_backlog():
    backlog = Backlog(concurrency=4, per_host=1)
    assert backlog.room() == 16
    backlog.add(rows("a", 100))
    assert backlog.room() == 14
    assert backlog.full_hosts() == ["a"]
    backlog.add(rows("b", 3) + rows("c", 3))
    assert backlog.room() == 0


def test_cooling():
    backlog = Backlog(concurrency=4, per_host=1)
    backlog.add(rows("a", 3))
    backlog.start_next()
    assert [row.row_id for row in backlog.cool("a", 100)] == [1, 2]
    backlog.cool("a", 50)
    assert backlog.cooling(99) == {"a": 100}
    assert backlog.cooling(100) == {}
