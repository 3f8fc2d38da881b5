"""Misses and hits, as proxies tell them."""

from distfile_mirror.catalog.models import Miss
from distfile_mirror.catalog.seen import Artifact, ArtifactKind, MissKey, Seen, Sightings
from distfile_mirror.catalog.sightings import write_sightings
from distfile_mirror.model.misses import MissReason

FILE, IMAGE = ArtifactKind.FILE, ArtifactKind.IMAGE


def missed(name, *, kind=FILE, reason=MissReason.NOT_DECLARED, label="firmware", client="192.0.2.1", at=100, count=1):
    """Ask for it in vain; return the miss."""
    write_sightings(Sightings([], [(MissKey(kind, name, reason, label, client), Seen(count, at, at))]))
    return Miss.objects.get(name=name)


def served(artifact, *, label="firmware", at=100, count=1):
    """Get it."""
    kind = IMAGE if type(artifact).__name__ == "Image" else FILE
    write_sightings(Sightings([(Artifact(kind, artifact.pk), label, Seen(count, at, at))], []))
