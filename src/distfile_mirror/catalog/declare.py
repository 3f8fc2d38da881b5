"""Declaring: a person says that a file must be present, for what, and why.

Declaring again adds a use. What is known already is never replaced: a declaration that
contradicts it is refused, because one URI has one content here, for ever.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from django.db import IntegrityError, transaction

from distfile_mirror.catalog import audit
from distfile_mirror.catalog.approval import first_state, redeclared
from distfile_mirror.catalog.models import AuditEvent, File
from distfile_mirror.catalog.moderate import make_pending
from distfile_mirror.catalog.problems import Problems
from distfile_mirror.catalog.uses import UseFacts, add_use, check_use
from distfile_mirror.errors import ConflictError
from distfile_mirror.model.checksums import in_order, parse_checksums
from distfile_mirror.model.states import State
from distfile_mirror.model.uris import FileUri, parse_file_uri, uri_key

MAX_FALLBACK_URIS = 20

# sha256 of a stored blob, algorithms -> algorithm -> hex of its bytes.
DigestsOf = Callable[[str, Iterable[str]], dict[str, str]]


@dataclass(frozen=True, slots=True)
class FileDeclaration:
    """What a person says of a file. ``checksums`` as in model.checksums; ``licence`` may be empty."""

    uri: str
    project: str
    reason: str
    licence: str = ""
    checksums: Sequence[str] = ()
    fallback_uris: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Declared:
    """What became of a declaration."""

    file: File
    created: bool
    use_added: bool


@dataclass(slots=True)
class _Checked:
    uri: FileUri
    use: UseFacts
    expected: dict[str, str]
    fallback_uris: list[str] = field(default_factory=list)


def declare_file(declaration: FileDeclaration, *, actor: str, approved: bool, digests_of: DigestsOf) -> Declared:
    """Record ``declaration``, made by ``actor``; ``approved``: nobody else need approve it.

    ``digests_of`` reads a stored blob when a checksum of another algorithm than those known is
    declared for a file that is present already.

    Raises:
        InvalidInputError: naming each wrong field.
        ConflictError: for a checksum that contradicts what is known, both are shown; for what was rejected.
        StorageError: if the stored bytes had to be read and could not be.
    """
    checked = _check(declaration)
    key = uri_key(str(checked.uri))
    stored = _digests_to_learn(key, checked, digests_of)
    with transaction.atomic():
        file, created = _get_or_create(key, checked, approved=approved)
        events = [audit.event(actor, "declared", file, after={"expected": checked.expected})] if created else []
        if not created:
            events += _merge(file, checked, stored, actor, approved=approved)
        for event in events:
            event.save()
        use_added = add_use(file, checked.use, actor=actor)
    return Declared(file, created, use_added)


def _check(declaration: FileDeclaration) -> _Checked:
    problems = Problems()
    uri = problems.collect("uri", parse_file_uri, declaration.uri)
    use = check_use(problems, declaration.project, declaration.reason, declaration.licence)
    expected = problems.collect("checksums", parse_checksums, declaration.checksums)
    fallbacks = problems.collect("fallback_uris", _fallback_uris, declaration.fallback_uris)
    if fallbacks and expected == {}:
        problems.add("fallback_uris", "a fallback needs an expected checksum, or nobody could tell that it is the same")
    problems.raise_if_any()
    # Each is a value now; the type checker cannot know.
    assert uri and use and expected is not None and fallbacks is not None  # noqa: S101, PT018
    return _Checked(uri, use, expected, [text for text in fallbacks if text != str(uri)])


def _fallback_uris(texts: Sequence[str]) -> list[str]:
    if len(texts) > MAX_FALLBACK_URIS:
        message = f"{len(texts)} fallback URIs are too many; at most {MAX_FALLBACK_URIS} are possible"
        raise ValueError(message)
    return list(dict.fromkeys(str(parse_file_uri(text)) for text in texts))


def _digests_to_learn(key: bytes, checked: _Checked, digests_of: DigestsOf) -> dict[str, str]:
    """Read the stored bytes, before any transaction, if a checksum is declared that was never computed of them."""
    known = File.objects.filter(uri_key=key).exclude(sha256="").only("sha256", "digests").first()
    if known is None or set(checked.expected) <= set(known.digests):
        return {}
    return digests_of(known.sha256, checked.expected)


def _get_or_create(key: bytes, checked: _Checked, *, approved: bool) -> tuple[File, bool]:
    known = File.objects.select_for_update().filter(uri_key=key)
    if file := known.first():
        return file, False
    try:
        with transaction.atomic():
            file = File.objects.create(
                uri=str(checked.uri),
                uri_key=key,
                host=checked.uri.authority.host,
                expected=checked.expected,
                fallback_uris=checked.fallback_uris,
                **first_state(approved=approved),
            )
    except IntegrityError:  # somebody else declared it just now
        return known.get(), False
    return file, True


def _merge(file: File, checked: _Checked, stored: dict[str, str], actor: str, *, approved: bool) -> list[AuditEvent]:
    """Add to a known file what a further declaration says of it; return the events."""
    digests = {**file.digests, **stored}
    _refuse_contradiction(file, digests, checked.expected)
    decided = redeclared(file, actor, approved=approved)
    before = {"expected": file.expected, "fallback_uris": file.fallback_uris}
    file.digests = in_order(digests)
    file.expected = in_order({**checked.expected, **file.expected})
    file.fallback_uris = list(dict.fromkeys([*file.fallback_uris, *checked.fallback_uris]))
    after = {"expected": file.expected, "fallback_uris": file.fallback_uris}
    if before == after:
        if decided:
            file.save()
        return decided
    if not approved:
        _refuse_unapproved(file)
    events = [*decided, audit.event(actor, "amended", file, before, after)]
    if file.state == State.FAILED:
        make_pending(file)
        events.append(audit.event(actor, "retried", file))
    file.save()
    return events


def _refuse_unapproved(file: File) -> None:
    """Raise ConflictError if the file may be fetched, and so what is accepted as its content would be changed."""
    if file.state not in {State.REQUESTED, State.PRESENT, State.BLOCKED}:
        message = "checksums and fallback URIs of what was approved are amended by somebody who may approve"
        raise ConflictError(message)


def _refuse_contradiction(file: File, digests: dict[str, str], declared: dict[str, str]) -> None:
    for algorithm, digest in declared.items():
        # The two differ where the checksum was of the bytes without their Content-Encoding; both are right.
        known = [each[algorithm] for each in (digests, file.expected) if algorithm in each]
        if not known or digest in known:
            continue
        source = "the stored bytes have" if algorithm in digests else "it was declared with"
        advice = "what is stored is never replaced" if file.sha256 else "if that one is wrong, amend the file"
        message = (
            f"this contradicts what is known of the file: {source} {algorithm}:{known[0]}, "
            f"now declared is {algorithm}:{digest}; {advice}"
        )
        raise ConflictError(message)
