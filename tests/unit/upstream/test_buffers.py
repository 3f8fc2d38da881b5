from distfile_mirror.upstream.buffers import Buffers


def test_what_is_looked_at_is_not_used_again():
    buffers = Buffers(4)
    first = buffers.take()
    first[:] = b"abcd"
    part = first[1:3]
    second = buffers.take()
    second[:] = b"efgh"
    del first
    assert buffers.take().obj not in (part.obj, second.obj)
    assert bytes(part) == b"bc"
    kept = part.obj
    del part
    assert buffers.take().obj is kept
