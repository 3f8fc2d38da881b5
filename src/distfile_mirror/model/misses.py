"""Why something that a build asked for was not served."""

from enum import StrEnum


class MissReason(StrEnum):
    """The kinds of misses, in the words that people read."""

    NOT_DECLARED = "not declared"
    PENDING = "pending"
    FAILED = "failed"
    BLOCKED = "blocked"
    REQUESTED = "waiting for approval"
    REJECTED = "rejected"
    BY_TAG = "by tag"
    PLATFORM_NOT_CHOSEN = "platform not chosen"
    GIT = "git"
    WRONG_METHOD = "wrong method"
