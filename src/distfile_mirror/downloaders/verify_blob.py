"""Is it the blob that the manifest describes?"""

from distfile_mirror.downloaders.verify import Digests
from distfile_mirror.errors import PermanentFetchError, TransientFetchError
from distfile_mirror.model.manifests import Descriptor
from distfile_mirror.upstream.settings import Received


def check_size(expected: Descriptor, size: int, verb: str) -> None:
    """Return if ``size`` bytes are what ``expected`` promises.

    Raises:
        PermanentFetchError: saying both, with ``verb`` for what is the matter with ``size``.
    """
    if size != expected.size:
        raise PermanentFetchError(
            f"the manifest says that {expected.digest} has {expected.size} bytes, and the upstream {verb} {size}"
        )


def verify_blob(expected: Descriptor, found: Digests, received: Received) -> None:
    """Return if size and digest are those of ``expected``.

    Raises:
        PermanentFetchError: showing what was expected and what came.
        TransientFetchError: the same, where the bytes may be cut, or made of parts that do not fit together.
    """
    algorithm = expected.digest.algorithm
    if received.size == expected.size and found.raw[algorithm] == expected.digest.hex:
        return
    if received.head.ends_by_close:
        raise TransientFetchError(
            f"{received.size} of {expected.size} bytes of {expected.digest} came, or others; their number was not "
            "announced, so they may be cut"
        )
    check_size(expected, received.size, "gave")
    message = (
        f"what came is not what the manifest says: expected {expected.digest}, got {algorithm}:{found.raw[algorithm]}"
    )
    if received.resumed:
        raise TransientFetchError(f"{message}; it came in parts, which may be of different things")
    raise PermanentFetchError(message)
