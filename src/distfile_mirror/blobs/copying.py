"""Copies blobs from one store to another; every byte is hashed on its way, and nothing wrong arrives."""

from dataclasses import dataclass
from enum import Enum

from distfile_mirror.blobs.store import BlobMissingError, BlobStore
from distfile_mirror.model.checksums import Hasher


class Copied(Enum):
    """What became of a blob."""

    COPIED = "copied"
    THERE = "there already"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Outcome:
    """``size`` in bytes; ``problem`` where it is damaged."""

    copied: Copied
    size: int = 0
    problem: str = ""


def copy_blob(source: BlobStore, target: BlobStore, sha256: str, size: int) -> Outcome:
    """Copy a blob of ``size`` bytes, unless the target has it. Raises StorageError.

    What is there already got there under this name only after its bytes were hashed.
    """
    try:
        if target.size(sha256) == size:
            return Outcome(Copied.THERE, size)
    except BlobMissingError:
        pass
    writer = target.create()
    hasher = Hasher(())
    count = 0
    try:
        for piece in source.pieces(sha256):
            hasher.update(piece)
            writer.write(piece)
            count += len(piece)
        found = hasher.hex_digests()["sha256"]
        if found != sha256:
            return Outcome(Copied.DAMAGED, count, f"its bytes have sha256 {found}")
        writer.commit(sha256)
    except BlobMissingError as error:
        return Outcome(Copied.DAMAGED, 0, str(error))
    finally:
        writer.discard()
    return Outcome(Copied.COPIED, count)
