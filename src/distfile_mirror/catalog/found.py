"""What the catalog tells the proxy. No Django here: who only reads the answer need not set it up."""

from dataclasses import dataclass, field

from distfile_mirror.model.states import State


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A declared file. ``sha256``, ``size`` (bytes), ``headers`` and ``fetched_at`` (Unix time) only when stored."""

    uri: str
    state: State
    message: str
    sha256: str
    size: int
    headers: dict[str, str] = field(default_factory=dict)
    received_bytes: int = 0
    total_bytes: int | None = None
    fetched_at: float = 0.0
