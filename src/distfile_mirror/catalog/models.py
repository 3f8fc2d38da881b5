"""The tables of the catalog.

Times are UTC. Long texts that must be unique are unique by a digest of fixed size, because
databases limit what an index entry may hold.
"""

from typing import Any, NoReturn

from django.db import models
from django.db.models import Q
from django.utils import timezone

from distfile_mirror.catalog.fields import ChecksumsField
from distfile_mirror.catalog.seen import ArtifactKind
from distfile_mirror.model.states import State


class Project(models.Model):
    """What an artifact is used for: a product, a repository, a firmware."""

    name = models.TextField(unique=True)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.name


class Fetchable(models.Model):
    """What every kind of artifact has: its state, and its place in the downloaders' queue.

    ``due_at`` is when a downloader may claim the row: the time of the next attempt while pending,
    the end of the lease while fetching, NULL otherwise. So a lost lease needs no clean-up, and
    the queue is one index that holds only what is to be done.
    """

    state = models.TextField(default=State.PENDING.value, help_text="One of model.states.State.")
    message = models.TextField(default="", help_text="Why it failed, will be tried again, or is blocked.")
    due_at = models.DateTimeField(null=True, default=timezone.now)
    lease_owner = models.TextField(default="")
    attempts = models.IntegerField(default=0, help_text="Failed attempts since it was last made pending.")
    received_bytes = models.BigIntegerField(default=0)
    total_bytes = models.BigIntegerField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        abstract = True


class File(Fetchable):
    """A file identified by its URI.

    ``expected``: algorithm -> hex, what declarations promise. ``digests``: algorithm -> hex, what
    the stored bytes have. ``headers``: name -> value of upstream's answer, to be replayed.
    """

    uri = models.TextField()
    uri_key = models.BinaryField(max_length=32, unique=True, editable=False)
    host = models.TextField(db_index=True)
    expected = ChecksumsField(default=dict)
    fallback_uris = models.JSONField(default=list)

    sha256 = models.TextField(default="", help_text="Of the stored bytes; empty while there are none.")
    size = models.BigIntegerField(null=True, help_text="In bytes.")
    digests = ChecksumsField(default=dict)
    headers = models.JSONField(default=dict)
    final_uri = models.TextField(default="", help_text="Where the bytes came from after redirects.")
    fetched_at = models.DateTimeField(null=True)

    class Meta:
        indexes = (
            models.Index(fields=["due_at"], name="file_due", condition=Q(due_at__isnull=False)),
            models.Index(fields=["state", "id"], name="file_state"),
            models.Index(fields=["sha256"], name="file_sha256", condition=~Q(sha256="")),
            models.Index(fields=["size"], name="file_size", condition=Q(size__isnull=False)),
            models.Index(fields=["fetched_at"], name="file_fetched", condition=Q(fetched_at__isnull=False)),
        )

    def __str__(self) -> str:
        return self.uri


class Registry(models.Model):
    """A registry of container images. ``name`` as model.references normalises it: host[:port][/path]."""

    name = models.TextField(unique=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "registries"

    def __str__(self) -> str:
        return self.name


class Repository(models.Model):
    """A repository of a registry, as the distribution specification names it (``library/debian``)."""

    registry = models.ForeignKey(Registry, on_delete=models.PROTECT, related_name="repositories")
    name = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "repositories"
        constraints = (models.UniqueConstraint(fields=["registry", "name"], name="repository_once"),)

    def __str__(self) -> str:
        return f"{self.registry}/{self.name}"


class Image(Fetchable):
    """A declared image: a manifest or an index, by its digest, with all that it needs.

    ``platforms``: what is wanted of an index, as PlatformChoice.texts writes it. ``tag``: a note of the
    tag under which somebody found it. ``evidence``: a list of {tag, digest, at}, what a tag was found to
    mean when. ``size``: bytes of all distinct blobs and manifests, known when stored.
    """

    repository = models.ForeignKey(Repository, on_delete=models.PROTECT, related_name="images")
    digest = models.TextField(help_text="algorithm:hex")
    tag = models.TextField(default="")
    evidence = models.JSONField(default=list)
    platforms = models.JSONField(default=list)
    with_referrers = models.BooleanField(default=False)
    wants_more = models.BooleanField(default=False, help_text="More was chosen than the last claim knew of.")

    media_type = models.TextField(default="")
    size = models.BigIntegerField(null=True, help_text="In bytes.")
    fetched_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["repository", "digest"], name="image_once"),)
        indexes = (
            models.Index(fields=["due_at"], name="image_due", condition=Q(due_at__isnull=False)),
            models.Index(fields=["state", "id"], name="image_state"),
            models.Index(fields=["digest"], name="image_digest"),
        )

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}"


class Manifest(models.Model):
    """A stored manifest or index, with all that it needs stored too: only then is there a row.

    ``content`` are its bytes, exactly as upstream has them. ``subject``: the digest that it refers to.
    """

    repository = models.ForeignKey(Repository, on_delete=models.PROTECT, related_name="manifests")
    digest = models.TextField(help_text="algorithm:hex")
    media_type = models.TextField()
    content = models.BinaryField()
    artifact_type = models.TextField(default="")
    subject = models.TextField(default="")

    class Meta:
        constraints = (models.UniqueConstraint(fields=["repository", "digest"], name="manifest_once"),)
        indexes = (models.Index(fields=["repository", "subject"], name="manifest_subject", condition=~Q(subject="")),)

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}"


class ImageManifest(models.Model):
    """That an image has a manifest: itself (role "image"), or as "child", "attestation" or "referrer".

    ``platform``: of a child, as the index says. ``tag``: under which a referrer was found, if by a tag.
    """

    image = models.ForeignKey(Image, on_delete=models.PROTECT, related_name="parts")
    manifest = models.ForeignKey(Manifest, on_delete=models.PROTECT, related_name="images")
    role = models.TextField()
    platform = models.TextField(default="")
    tag = models.TextField(default="")

    class Meta:
        constraints = (models.UniqueConstraint(fields=["image", "manifest"], name="image_manifest_once"),)
        indexes = (models.Index(fields=["tag"], name="image_manifest_tag", condition=~Q(tag="")),)

    def __str__(self) -> str:
        return f"{self.role} {self.manifest}"


class ManifestBlob(models.Model):
    """That a manifest needs a blob: its config or a layer. ``sha256`` is the name in the blob store."""

    manifest = models.ForeignKey(Manifest, on_delete=models.PROTECT, related_name="blobs")
    digest = models.TextField(help_text="algorithm:hex, as the manifest has it")
    sha256 = models.TextField()
    size = models.BigIntegerField(help_text="In bytes.")
    media_type = models.TextField(default="")
    role = models.TextField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["manifest", "digest"], name="manifest_blob_once"),)
        indexes = (
            models.Index(fields=["digest"], name="blob_digest"),
            models.Index(fields=["sha256"], name="blob_sha256"),
        )

    def __str__(self) -> str:
        return f"{self.role} {self.digest}"


class StoredBlob(models.Model):
    """A blob that is in the store and known by another digest than sha256, so that it is not fetched again."""

    digest = models.TextField(primary_key=True)
    sha256 = models.TextField()
    size = models.BigIntegerField(help_text="In bytes.")

    def __str__(self) -> str:
        return self.digest


class Use(models.Model):
    """Who uses an artifact (a file or an image), for which project, why, under which licence.

    ``licence`` is an SPDX expression; empty where nobody knows. ``fingerprint`` makes the same
    use, declared again, no second row.
    """

    file = models.ForeignKey(File, on_delete=models.PROTECT, null=True, related_name="uses")
    image = models.ForeignKey(Image, on_delete=models.PROTECT, null=True, related_name="uses")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="uses")
    reason = models.TextField()
    licence = models.TextField(default="", db_index=True)
    declared_by = models.TextField(db_index=True)
    declared_at = models.DateTimeField(default=timezone.now)
    fingerprint = models.BinaryField(max_length=32, editable=False)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["file", "fingerprint"], name="use_once"),
            models.UniqueConstraint(fields=["image", "fingerprint"], name="image_use_once"),
            models.CheckConstraint(
                condition=Q(file__isnull=False, image__isnull=True) | Q(file__isnull=True, image__isnull=False),
                name="use_of_one",
            ),
        )

    def __str__(self) -> str:
        return f"{self.project}: {self.reason}"


class AuditEvent(models.Model):
    """One change: who, when, what, from what to what. Rows are only ever added."""

    at = models.DateTimeField(default=timezone.now)
    actor = models.TextField()
    action = models.TextField()
    subject_kind = models.TextField()
    subject_id = models.BigIntegerField()
    subject = models.TextField(help_text="The subject's name at that time.")
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)

    class Meta:
        indexes = (
            models.Index(fields=["subject_kind", "subject_id", "id"], name="audit_subject"),
            models.Index(fields=["actor", "id"], name="audit_actor"),
        )

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%dT%H:%M:%SZ} {self.actor} {self.action} {self.subject}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Add the row; a second time is refused."""
        if self.pk is not None:
            _refuse_change()
        super().save(*args, **kwargs)
        if self.subject_kind in frozenset(ArtifactKind):
            _request_models.note_request(self.subject_kind, self.subject_id)

    def delete(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refuse."""
        _refuse_change()


class Miss(models.Model):
    """Something that builds asked for in vain. ``name``: the URI of a file, the reference of an image.

    ``is_open``: it may still be missing; not once it has been fetched. ``reason``: the latest.
    """

    key = models.BinaryField(max_length=32, unique=True, editable=False)
    kind = models.TextField()
    name = models.TextField()
    host = models.TextField(default="")
    reason = models.TextField(help_text="One of model.misses.MissReason.")
    count = models.BigIntegerField(default=0)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    is_open = models.BooleanField(default=True)
    is_dismissed = models.BooleanField(default=False)

    class Meta:
        verbose_name_plural = "misses"
        indexes = (
            models.Index(fields=["-last_at", "-id"], name="miss_latest", condition=Q(is_open=True, is_dismissed=False)),
            models.Index(fields=["-count", "-id"], name="miss_most", condition=Q(is_open=True, is_dismissed=False)),
        )

    def __str__(self) -> str:
        return self.name


class MissSource(models.Model):
    """Who asked for it in vain: a build's label, perhaps empty, and a client's address."""

    miss = models.ForeignKey(Miss, on_delete=models.CASCADE, related_name="sources")
    label = models.TextField()
    client = models.TextField()
    reason = models.TextField()
    count = models.BigIntegerField(default=0)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["miss", "label", "client", "reason"], name="miss_source_once"),)
        indexes = (models.Index(fields=["label", "-last_at"], name="miss_source_label"),)

    def __str__(self) -> str:
        return f"{self.label or self.client}: {self.miss}"


class Hit(models.Model):
    """How often an artifact was served to the builds with a label, perhaps empty."""

    kind = models.TextField(help_text="file or image")
    artifact_id = models.BigIntegerField()
    label = models.TextField()
    count = models.BigIntegerField(default=0)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["kind", "artifact_id", "label"], name="hit_once"),)
        indexes = (
            models.Index(fields=["label", "-last_at"], name="hit_label"),
            models.Index(fields=["-last_at", "-id"], name="hit_latest", condition=~Q(label="")),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.artifact_id} by {self.label or 'somebody'}"


class Traffic(models.Model):
    """What the proxies did within an hour."""

    hour = models.DateTimeField(primary_key=True)
    hits = models.BigIntegerField(default=0)
    misses = models.BigIntegerField(default=0)
    sent_bytes = models.BigIntegerField(default=0)

    class Meta:
        verbose_name_plural = "traffic"

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%dT%H}: {self.hits} hits, {self.misses} misses"


class Growth(models.Model):
    """What was stored on a day."""

    day = models.DateField(primary_key=True)
    files = models.BigIntegerField(default=0)
    images = models.BigIntegerField(default=0)
    stored_bytes = models.BigIntegerField(default=0)

    class Meta:
        verbose_name_plural = "growth"

    def __str__(self) -> str:
        return f"{self.day}: {self.files} files, {self.images} images"


class Revision(models.Model):
    """Counts the changes that take something away from proxies (block, unblock).

    Proxies keep what they looked up for as long as they like; they ask for this one number every
    second, and look again when it has moved.
    """

    name = models.TextField(primary_key=True)
    value = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name} {self.value}"


def _refuse_change() -> NoReturn:
    message = "audit events are only ever added"
    raise TypeError(message)


from distfile_mirror.catalog import care_models as _care_models  # noqa: E402, F401 - Django finds tables here
from distfile_mirror.catalog import request_models as _request_models  # noqa: E402
from distfile_mirror.catalog import search_models as _search_models  # noqa: E402, F401
