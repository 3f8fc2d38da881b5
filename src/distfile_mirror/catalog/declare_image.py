"""Declaring an image: a person says that it must be present, for what, and why.

As with files, declaring again adds a use. An image is its registry, repository and digest, so that
nothing can contradict what is known of it; further platforms are fetched beside those that it has.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import IntegrityError, transaction

from distfile_mirror.catalog import audit
from distfile_mirror.catalog.approval import first_state, redeclared
from distfile_mirror.catalog.image_facts import TagEvidence
from distfile_mirror.catalog.models import AuditEvent, Image, Registry, Repository
from distfile_mirror.catalog.platform_choice import only_available, refuse_missing, want
from distfile_mirror.catalog.problems import Problems
from distfile_mirror.catalog.uses import UseFacts, add_use, check_use
from distfile_mirror.model.digests import parse_digest
from distfile_mirror.model.platforms import PlatformChoice, parse_choice
from distfile_mirror.model.references import check_tag, normalise_registry, normalise_repository


@dataclass(frozen=True, slots=True)
class ImageDeclaration:
    """What a person says of an image.

    ``registry`` may be a URI; ``platforms`` as model.platforms.parse_choice reads them, none for the
    default; ``tag`` and ``licence`` may be empty; ``evidence``: what the tag was found to mean.
    """

    registry: str
    repository: str
    digest: str
    project: str
    reason: str
    licence: str = ""
    tag: str = ""
    platforms: Sequence[str] = ()
    with_referrers: bool = False
    evidence: Sequence[TagEvidence] = ()


@dataclass(frozen=True, slots=True)
class DeclaredImage:
    """What became of a declaration."""

    image: Image
    created: bool
    use_added: bool


@dataclass(frozen=True, slots=True)
class _Checked:
    registry: str
    repository: str
    digest: str
    tag: str
    choice: PlatformChoice
    chosen_by_default: bool
    use: UseFacts


def declare_image(
    declaration: ImageDeclaration, *, actor: str, approved: bool, default_platforms: Sequence[str] = ()
) -> DeclaredImage:
    """Record ``declaration``, made by ``actor``; ``approved``: nobody else need approve it.

    Raises:
        InvalidInputError: naming each wrong field.
        ConflictError: for what was rejected.
    """
    checked = _check(declaration, default_platforms)
    with transaction.atomic():
        image, created = _get_or_create(checked, declaration, approved=approved)
        events = [_declared(actor, image)] if created else redeclared(image, actor, approved=approved)
        if not created:
            events += _merge(image, checked, declaration, actor)
        for event in events:
            event.save()
        use_added = add_use(image, checked.use, actor=actor)
    return DeclaredImage(image, created, use_added)


def _check(declaration: ImageDeclaration, default_platforms: Sequence[str]) -> _Checked:
    problems = Problems()
    registry = problems.collect("registry", normalise_registry, declaration.registry)
    repository = problems.collect(
        "repository", lambda text: normalise_repository(text, registry or ""), declaration.repository
    )
    digest = problems.collect("digest", parse_digest, declaration.digest)
    tag = problems.collect("tag", check_tag, declaration.tag) if declaration.tag else ""
    choice = problems.collect("platforms", parse_choice, declaration.platforms or default_platforms)
    use = check_use(problems, declaration.project, declaration.reason, declaration.licence)
    problems.raise_if_any()
    # Each is a value now; the type checker cannot know.
    assert registry and repository and digest and tag is not None and choice and use  # noqa: S101, PT018
    return _Checked(registry, repository, str(digest), tag, choice, not declaration.platforms, use)


def _get_or_create(checked: _Checked, declaration: ImageDeclaration, *, approved: bool) -> tuple[Image, bool]:
    registry, _created = Registry.objects.get_or_create(name=checked.registry)
    repository, _created = Repository.objects.get_or_create(registry=registry, name=checked.repository)
    known = Image.objects.select_for_update().filter(repository=repository, digest=checked.digest)
    if image := known.first():
        return image, False
    try:
        with transaction.atomic():
            image = Image.objects.create(
                repository=repository,
                digest=checked.digest,
                tag=checked.tag,
                evidence=_with_evidence([], declaration),
                platforms=checked.choice.texts(),
                with_referrers=declaration.with_referrers,
                **first_state(approved=approved),
            )
    except IntegrityError:  # somebody else declared it just now
        return known.get(), False
    return image, True


def _declared(actor: str, image: Image) -> AuditEvent:
    facts = {"platforms": image.platforms, "with_referrers": image.with_referrers}
    return audit.event(actor, "declared", image, after={**facts, "evidence": image.evidence})


def _merge(image: Image, checked: _Checked, declaration: ImageDeclaration, actor: str) -> list[AuditEvent]:
    """Add to a known image what a further declaration says of it, and save it; return the events."""
    choice = checked.choice
    if checked.chosen_by_default:
        choice = only_available(image, choice)
    else:
        refuse_missing(image, choice)
    events = want(image, choice, with_referrers=declaration.with_referrers, actor=actor)
    image.tag = image.tag or checked.tag
    evidence = _with_evidence(image.evidence, declaration)
    if evidence != image.evidence:
        events.append(audit.event(actor, "tag resolved", image, {}, {"evidence": evidence[len(image.evidence) :]}))
        image.evidence = evidence
    image.save()
    return events


def _with_evidence(known: list[dict[str, str]], declaration: ImageDeclaration) -> list[dict[str, str]]:
    further = [dict(each.as_json()) for each in declaration.evidence]
    return [*known, *(each for each in further if each not in known)]
