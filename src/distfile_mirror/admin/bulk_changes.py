"""Changing several files at once, for pages and API: what can be changed is, of what cannot it is told why."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.http import HttpRequest

from distfile_mirror.admin.access import refuse_below, refuse_unless_own
from distfile_mirror.admin.identity import actor_of
from distfile_mirror.catalog import moderate
from distfile_mirror.catalog.listing import get_file
from distfile_mirror.catalog.models import File
from distfile_mirror.errors import ConflictError, NotAllowedError, NotFoundError
from distfile_mirror.model.roles import Role


@dataclass(frozen=True, slots=True)
class Changed:
    """What became of one of many: ``problem`` is empty if it went well."""

    file_id: int
    problem: str = ""


def retry_files(request: HttpRequest, file_ids: Iterable[int]) -> list[Changed]:
    """Try each again; declarers what they declared. Raises UnavailableError."""

    def retry(file_id: int) -> None:
        refuse_unless_own(request, get_file(file_id))
        moderate.retry(File, file_id, actor=actor_of(request))

    return _each(file_ids, retry)


def block_files(request: HttpRequest, file_ids: Iterable[int], reason: str) -> list[Changed]:
    """Stop serving each, for ``reason``.

    Raises:
        NotAllowedError: if whoever asks is no approver.
        InvalidInputError: for a reason that is empty; nothing was changed.
        UnavailableError: if the database does not answer.
    """
    refuse_below(request, Role.APPROVER)
    return _each(file_ids, lambda file_id: moderate.block(File, file_id, reason=reason, actor=actor_of(request)))


def _each(file_ids: Iterable[int], change: Callable[[int], object]) -> list[Changed]:
    return [_changed(file_id, change) for file_id in dict.fromkeys(file_ids)]


def _changed(file_id: int, change: Callable[[int], object]) -> Changed:
    try:
        change(file_id)
    except (ConflictError, NotFoundError, NotAllowedError) as error:
        return Changed(file_id, str(error))
    return Changed(file_id)
