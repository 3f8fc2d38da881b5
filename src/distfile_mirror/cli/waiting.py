"""Waits until files or images have arrived or failed, and shows how it goes."""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from distfile_mirror.cli.output import clean, print_sentence
from distfile_mirror.cli.rest import Document, MirrorClient, UnreachableError, kind_of
from distfile_mirror.model.states import State

SETTLED = frozenset({State.PRESENT, State.FAILED, State.REJECTED, State.BLOCKED})
FIRST_POLL_SECONDS = 0.1
POLL_SECONDS = 1.0
PATIENCE_SECONDS = 30.0  # with a server that does not answer: it may be restarting
NAME_CHARACTERS = 40

Report = Callable[[Document], None]


def wait_for(
    client: MirrorClient, file_ids: Collection[int], *, timeout: float | None, console: Console
) -> dict[int, Document]:
    """Return the files as they are once all have settled, or after ``timeout`` seconds.

    Raises:
        UnreachableError: if the server does not answer for half a minute.
    """
    deadline = time.monotonic() + timeout if timeout is not None else float("inf")
    files: dict[int, Document] = {}
    left = list(dict.fromkeys(file_ids))
    pause = FIRST_POLL_SECONDS
    with (_bars if console.is_terminal else _lines)(console) as report:
        while True:
            for file_id in left:
                files[file_id] = _patiently(client, file_id, deadline)
                report(files[file_id])
            left = [file_id for file_id in left if files[file_id]["state"] not in SETTLED]
            remaining = deadline - time.monotonic()
            if not left or remaining <= 0:
                return files
            time.sleep(min(pause, remaining))
            pause = min(pause * 1.5, POLL_SECONDS)


def _patiently(client: MirrorClient, file_id: int, deadline: float) -> Document:
    patient_until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return client.show(file_id)
        except UnreachableError:
            if time.monotonic() + POLL_SECONDS > min(patient_until, deadline):
                raise
        time.sleep(POLL_SECONDS)


@contextmanager
def _bars(console: Console) -> Iterator[Report]:
    tasks: dict[int, TaskID] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn())
    with Progress(*columns, console=console) as progress:

        def report(file: Document) -> None:
            if file["id"] not in tasks:
                tasks[file["id"]] = progress.add_task(_name(file), total=None)
            if file["state"] in SETTLED:
                progress.remove_task(tasks[file["id"]])
                print_sentence(file, progress.console)
                return
            at = file["progress"]
            wait = " waits for approval" if file["state"] == State.REQUESTED else ""
            name = f"{_name(file)}{wait}"
            progress.update(
                tasks[file["id"]], description=name, completed=at["received_bytes"], total=at["total_bytes"]
            )

        yield report


@contextmanager
def _lines(console: Console) -> Iterator[Report]:
    told: dict[int, tuple[str, str]] = {}

    def report(file: Document) -> None:
        state = (file["state"], file["message"])
        if told.get(file["id"]) != state:
            told[file["id"]] = state
            print_sentence(file, console)

    yield report


def _name(file: Document) -> str:
    name: str = file[kind_of(file).named_by]
    short = name.partition("?")[0].partition("@")[0].rpartition("/")[2] or name
    return clean(short[:NAME_CHARACTERS]).replace("[", r"\[")
