"""What is wanted of an image: platforms of an index, and its referrers. It only ever grows."""

from collections.abc import Sequence

from django.db import transaction

from distfile_mirror.catalog import audit
from distfile_mirror.catalog.models import AuditEvent, Image, Manifest
from distfile_mirror.catalog.moderate import locked, make_pending
from distfile_mirror.catalog.problems import Problems
from distfile_mirror.model.manifests import INDEX_TYPES, parse_manifest, platforms_of
from distfile_mirror.model.platforms import Platform, PlatformChoice, parse_choice
from distfile_mirror.model.states import State


def choose_platforms(image_id: int, platforms: Sequence[str], *, actor: str) -> Image:
    """Want ``platforms`` of an index too; what it had is served on while they are fetched.

    Raises:
        NotFoundError.
        InvalidInputError: for what is no platform, or none that the stored index has.
    """
    problems = Problems()
    choice = problems.collect("platforms", parse_choice, platforms)
    problems.raise_if_any()
    with transaction.atomic():
        image = locked(Image, image_id)
        refuse_missing(image, choice or PlatformChoice())
        for event in want(image, choice or PlatformChoice(), with_referrers=False, actor=actor):
            event.save()
        image.save()
    return image


def want(image: Image, choice: PlatformChoice, *, with_referrers: bool, actor: str) -> list[AuditEvent]:
    """Widen what is wanted of ``image``, and put it back into the queue if that is not stored; return the events.

    Neither the image nor the events are saved.
    """
    before = {"state": image.state, "platforms": image.platforms, "with_referrers": image.with_referrers}
    image.platforms = parse_choice(image.platforms).with_more(choice).texts()
    image.with_referrers = image.with_referrers or with_referrers
    after = {"platforms": image.platforms, "with_referrers": image.with_referrers}
    changed = {name for name, value in after.items() if before[name] != value}
    if not changed:
        return []
    # Whoever declared an image that has no platforms to choose from has all of it.
    has_platforms = image.media_type == "" or image.media_type in INDEX_TYPES
    if has_platforms or "with_referrers" in changed:
        _fetch_more(image)
    return [audit.event(actor, "amended", image, before, {"state": image.state, **after})]


def available_platforms(image: Image) -> list[Platform] | None:
    """Return the platforms of the stored index ``image``; None if that is not known, or may be more."""
    own = Manifest.objects.filter(repository=image.repository_id, digest=image.digest).first()
    if own is None:
        return None
    index = parse_manifest(bytes(own.content), own.media_type)
    may_have_more = any(child.platform is None and child.media_type in INDEX_TYPES for child in index.children)
    return platforms_of(index) if index.is_index and not may_have_more else None


def refuse_missing(image: Image, choice: PlatformChoice) -> None:
    """Raise InvalidInputError if ``choice`` names a platform that the stored index has not."""
    available = available_platforms(image)
    if available is None:
        return
    problems = Problems()
    for platform in choice.platforms:
        if not any(map(platform.covers, available)):
            texts = ", ".join(map(str, available)) or "none"
            problems.add("platforms", f"this image has no {platform}; it has: {texts}")
    problems.raise_if_any()


def only_available(image: Image, choice: PlatformChoice) -> PlatformChoice:
    """Return ``choice`` without the platforms that the stored index has not."""
    available = available_platforms(image)
    if available is None:
        return choice
    found = (platform for platform in choice.platforms if any(map(platform.covers, available)))
    return PlatformChoice(tuple(found), choice.all)


def _fetch_more(image: Image) -> None:
    if image.state in {State.PRESENT, State.FAILED}:
        make_pending(image)
    elif image.state in {State.FETCHING, State.BLOCKED}:  # it goes back into the queue when that has ended
        image.wants_more = True
