"""Uses: for which project, why and under which licence somebody needs a file or an image."""

import hashlib
import json
from dataclasses import asdict, dataclass

from distfile_mirror.catalog import audit
from distfile_mirror.catalog.models import File, Image, Project, Use
from distfile_mirror.catalog.moderate import reason_text, required_text
from distfile_mirror.catalog.problems import Problems
from distfile_mirror.model.licences import normalise_licence

MAX_PROJECT_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class UseFacts:
    """A use as it is stored. ``licence``: an SPDX expression, or empty."""

    project: str
    reason: str
    licence: str

    def fingerprint(self) -> bytes:
        """Return what tells this use from others of the same artifact."""
        return hashlib.sha256(json.dumps([self.project, self.reason, self.licence]).encode()).digest()


def check_use(problems: Problems, project: str, reason: str, licence: str) -> UseFacts | None:
    """Return the use as it is stored, or None with what is wrong noted in ``problems``."""
    name = problems.collect("project", _project_name, project)
    text = problems.collect("reason", _reason, reason)
    expression = problems.collect("licence", normalise_licence, licence)
    if name is None or text is None or expression is None:
        return None
    return UseFacts(name, text, expression)


def add_use(artifact: File | Image, use: UseFacts, *, actor: str) -> bool:
    """Record that ``artifact`` has this use too; False if that is known. To be called in a transaction."""
    project, _created = Project.objects.get_or_create(name=use.project)
    of_artifact = {audit.kind_name(type(artifact)): artifact}
    _use, added = Use.objects.get_or_create(
        **of_artifact,
        fingerprint=use.fingerprint(),
        defaults={"project": project, "reason": use.reason, "licence": use.licence, "declared_by": actor},
    )
    if added:
        audit.event(actor, "use added", artifact, after=asdict(use)).save()
    return added


def _project_name(text: str) -> str:
    name = required_text(text, MAX_PROJECT_CHARACTERS, "name the project that uses it")
    if not name.isprintable():
        message = "a project's name is one line of printable characters"
        raise ValueError(message)
    return name


def _reason(text: str) -> str:
    return reason_text(text, "say why it is needed")
