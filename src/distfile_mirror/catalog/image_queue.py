"""The downloaders' queue of images: claim rows, keep their leases, record what became of them.

An image is recorded whole, in one transaction: its manifests, the blobs that they need, its state.
``leases`` says what holds for files as well.
"""

from base64 import b64decode
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from distfile_mirror.catalog import leases
from distfile_mirror.catalog.database import available
from distfile_mirror.catalog.growth import add_growth
from distfile_mirror.catalog.image_facts import FetchedBlob, FetchedImage, FetchedManifest, FoundBlob, ImageClaim, Role
from distfile_mirror.catalog.leases import Applied, Changes, Event, Failed, Progress, Released, Row
from distfile_mirror.catalog.models import Image, ImageManifest, Manifest, ManifestBlob, Repository, StoredBlob
from distfile_mirror.catalog.request_models import last_requests
from distfile_mirror.catalog.seen import ArtifactKind
from distfile_mirror.catalog.sightings import settle
from distfile_mirror.model.states import State, check_moves

Outcome = FetchedImage | Failed | Released


def claim(
    owner: str,
    *,
    limit: int,
    lease: timedelta,
    excluded_hosts: Collection[str] = (),
    take_over: bool = True,
) -> list[ImageClaim]:
    """Claim up to ``limit`` rows that are due, longest due first, for ``owner``; see claim_rows.

    ``excluded_hosts`` are names of registries. Raises UnavailableError.
    """
    # No join: it would lock repositories and registries as well, for all who claim.
    excluded = Repository.objects.filter(registry__name__in=excluded_hosts)
    columns = ("repository_id", "digest", "platforms", "with_referrers", "attempts")
    with available(), transaction.atomic():
        rows = Image.objects.exclude(repository__in=excluded.values("pk")) if excluded_hosts else Image.objects.all()
        claimed = leases.claim_rows(
            rows, owner, limit=limit, lease=lease, columns=columns, take_over=take_over, wants_more=False
        )
        names = _repository_names(repository_id for _row_id, repository_id, *_facts in claimed)
        requests = last_requests(ArtifactKind.IMAGE.value, [facts[0] for facts in claimed])
    return [
        ImageClaim(*(row_id, *names[repository_id], *facts, requests.get(row_id, "")))
        for row_id, repository_id, *facts in claimed
    ]


def report(owner: str, progress: Mapping[int, Progress], *, lease: timedelta) -> set[int]:
    """See leases.report. Raises UnavailableError."""
    return leases.report(Image, owner, progress, lease=lease)


def release_owner(owner: str) -> int:
    """Give back all that a dead ``owner`` had claimed; return how many rows. Raises UnavailableError."""
    return leases.release_owner(Image, owner)


def record(owner: str, outcomes: Iterable[Outcome]) -> None:
    """Record what became of rows claimed by ``owner``; rows whose lease was lost are left alone.

    Of an image of which more was wanted meanwhile, what came is recorded, and it is due again.

    Raises:
        UnavailableError: and nothing was recorded.
    """
    by_id = {outcome.row_id: outcome for outcome in outcomes}
    columns = ("pk", "state", "attempts", "digest", "repository_id", "wants_more", "size")
    with available(), transaction.atomic():
        rows = list(leases.owned(Image, owner, by_id).select_for_update().values_list(*columns))
        names = _repository_names(repository_id for *_facts, repository_id, _more, _size in rows)
        applied, image_rows = [], []
        for row_id, state, attempts, digest, repository_id, wants_more, size in rows:
            name = "/".join(names[repository_id]) + f"@{digest}"
            image_rows.append(row := _ImageRow(row_id, name, state, attempts, repository_id, wants_more, size))
            applied.append(_apply(row, by_id[row_id]))
        leases.write(Image, owner, applied)
        for row in image_rows:
            _count(row, by_id[row.row_id])


def from_note(note: Mapping[str, Any]) -> FetchedImage:
    """Return what has been noted as the fields of a FetchedImage, bytes in base64.

    Raises:
        TypeError, KeyError, ValueError: if they are not its.
    """
    return FetchedImage(**{**note, "manifests": [_noted_manifest(each) for each in note["manifests"]]})


def blobs_of(fetched: FetchedImage) -> list[str]:
    """Return the sha256 of all blobs that must be stored."""
    return [blob.sha256 for manifest in fetched.manifests for blob in manifest.blobs]


def known_blob(digest: str) -> FoundBlob | None:
    """Return the blob with ``digest``, if some image brought it or somebody remembered it. Raises UnavailableError."""
    with available():
        found = (
            ManifestBlob.objects.filter(digest=digest).values_list("sha256", "size").first()
            or StoredBlob.objects.filter(digest=digest).values_list("sha256", "size").first()
        )
    return FoundBlob(*found) if found else None


def remember_blob(digest: str, sha256: str, size: int) -> None:
    """Note that the store has the blob with ``digest`` under ``sha256``. Raises UnavailableError."""
    with available():
        StoredBlob.objects.get_or_create(digest=digest, defaults={"sha256": sha256, "size": size})


def _noted_manifest(note: Mapping[str, Any]) -> FetchedManifest:
    told = {"content": b64decode(note["content"]), "role": Role(note["role"])}
    return FetchedManifest(**{**note, **told, "blobs": [FetchedBlob(**blob) for blob in note["blobs"]]})


@dataclass(frozen=True, slots=True)
class _ImageRow(Row):
    repository_id: int
    wants_more: bool
    size: int | None


def _repository_names(repository_ids: Iterable[int]) -> dict[int, tuple[str, str]]:
    rows = Repository.objects.filter(pk__in=set(repository_ids)).values_list("pk", "registry__name", "name")
    return {key: (registry, name) for key, registry, name in rows}


def _apply(row: _ImageRow, outcome: Outcome) -> Applied:
    if isinstance(outcome, FetchedImage):
        _add_manifests(row, outcome)
        return row, *_apply_fetched(row, outcome)
    if isinstance(outcome, Failed) and outcome.retry_in is None and row.wants_more:
        # What failed is not what is wanted now.
        return row, *leases.apply_failed(row, Failed(row.row_id, outcome.message, timedelta(0)))
    return row, *leases.apply_unfetched(row, outcome)


def _apply_fetched(row: _ImageRow, outcome: FetchedImage) -> tuple[Changes, Event]:
    path = [State.PRESENT, State.PENDING] if row.wants_more else [State.PRESENT]
    told: Changes = {
        "state": check_moves(State(row.state), *path).value,
        "size": outcome.size,
        "media_type": outcome.media_type,
    }
    now = timezone.now()
    changes = {
        **told,
        "message": "",
        "attempts": 0,
        "due_at": now if row.wants_more else None,
        "received_bytes": outcome.size,
        "total_bytes": outcome.size,
        "fetched_at": now,
    }
    return changes, ("fetched", {**told, "manifests": [manifest.digest for manifest in outcome.manifests]})


def _count(row: _ImageRow, outcome: Outcome) -> None:
    if not isinstance(outcome, FetchedImage):
        return
    repository = row.name.partition("@")[0]
    settle(ArtifactKind.IMAGE, [f"{repository}@{manifest.digest}" for manifest in outcome.manifests])
    add_growth(images=row.size is None, stored_bytes=outcome.size - (row.size or 0))


def _add_manifests(row: _ImageRow, outcome: FetchedImage) -> None:
    """Add what is new of the manifests and their blobs; what is known is kept as it is."""
    # Another downloader may add the same child at this moment: conflicts are no faults anywhere here.
    manifests = [
        Manifest(
            repository_id=row.repository_id,
            digest=each.digest,
            media_type=each.media_type,
            content=each.content,
            artifact_type=each.artifact_type,
            subject=each.subject,
        )
        for each in outcome.manifests
    ]
    Manifest.objects.bulk_create(manifests, ignore_conflicts=True)
    digests = [each.digest for each in outcome.manifests]
    stored = Manifest.objects.filter(repository_id=row.repository_id, digest__in=digests)
    keys = dict(stored.values_list("digest", "pk"))
    blobs = [_blob(keys[each.digest], blob) for each in outcome.manifests for blob in each.blobs]
    ManifestBlob.objects.bulk_create(blobs, ignore_conflicts=True)
    parts = [_part(row.row_id, keys[each.digest], each) for each in outcome.manifests]
    ImageManifest.objects.bulk_create(parts, ignore_conflicts=True)


def _blob(manifest_id: int, blob: FetchedBlob) -> ManifestBlob:
    return ManifestBlob(
        manifest_id=manifest_id,
        digest=blob.digest,
        sha256=blob.sha256,
        size=blob.size,
        media_type=blob.media_type,
        role=blob.role,
    )


def _part(image_id: int, manifest_id: int, manifest: FetchedManifest) -> ImageManifest:
    return ImageManifest(
        image_id=image_id,
        manifest_id=manifest_id,
        role=manifest.role.value,
        platform=manifest.platform,
        tag=manifest.tag,
    )
