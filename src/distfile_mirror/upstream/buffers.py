"""Memory that is read into, used again as soon as nobody looks at it any more.

Making room anew for every piece of a large body, and clearing it, took a tenth of the time of its download.
"""


class Buffers:
    """Buffers of ``size`` bytes each; as many as are looked at at the same time."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._made: list[bytearray] = []

    def take(self) -> memoryview:
        """Return all of a buffer of which there is no other view."""
        for buffer in self._made:
            if _is_free(buffer):
                return memoryview(buffer)
        self._made.append(bytearray(self._size))
        return memoryview(self._made[-1])


def _is_free(buffer: bytearray) -> bool:
    """Tell whether nobody holds a view: only then does Python let the size be changed."""
    try:
        buffer.append(buffer.pop())
    except BufferError:
        return False
    return True
