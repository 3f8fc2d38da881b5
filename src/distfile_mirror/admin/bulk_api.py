"""The REST API's changes to several files at once."""

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import Field

from distfile_mirror.admin.answers import DECLARING
from distfile_mirror.admin.bulk_changes import Changed, block_files, retry_files
from distfile_mirror.admin.documents import MAX_PAGE_SIZE, Id, Input, ProblemDocument

router = Router()


class FileIds(Input):
    """Files by number."""

    files: list[Id] = Field(min_length=1, max_length=MAX_PAGE_SIZE)


class BulkBlocking(FileIds):
    """What must not be used, and why; builds are shown the reason."""

    reason: str = Field(examples=["known to be malicious"])


class ChangedDocument(Schema):
    """What became of one file: `problem` is empty if it went well."""

    id: int
    problem: str


class ChangedList(Schema):
    """What became of each."""

    files: list[ChangedDocument]


@router.post(
    "/files/retry",
    response={200: ChangedList, DECLARING: ProblemDocument},
    summary="Try many failed downloads again",
    operation_id="retry_files",
)
def retry(request: HttpRequest, body: FileIds) -> ChangedList:
    """One that cannot be does not stop the others. Declarers may do this to what they declared."""
    return _told(retry_files(request, body.files))


@router.post(
    "/files/block",
    response={200: ChangedList, DECLARING: ProblemDocument},
    summary="Stop serving many files",
    operation_id="block_files",
)
def block(request: HttpRequest, body: BulkBlocking) -> ChangedList:
    """One that cannot be does not stop the others."""
    return _told(block_files(request, body.files, body.reason))


def _told(changed: list[Changed]) -> ChangedList:
    return ChangedList(files=[ChangedDocument(id=each.file_id, problem=each.problem) for each in changed])
