"""What the proxy says to a registry client that asks in vain. Pure.

It is the JSON of the OCI distribution specification 1.1, Error Codes. Clients print the message; so it says why,
and what to do.
"""

from urllib.parse import urlencode

from distfile_mirror.catalog.found import MissingImage, Why
from distfile_mirror.model.states import State
from distfile_mirror.proxy.pages import Page
from distfile_mirror.proxy.registry_paths import Kind, RegistryRequest

_CODES = {Kind.BLOB: "BLOB_UNKNOWN", Kind.TAGS: "NAME_UNKNOWN"}


def missing_image_page(missing: MissingImage, request: RegistryRequest, admin_url: str) -> Page:
    """Say why what ``request`` asks for is not served."""
    if missing.state is State.BLOCKED:
        text = f"{image_name(missing)} is mirrored, and somebody blocked its use: {missing.message}"
        return Page(451, "Blocked", (text,), reason="Blocked in Distfile Mirror", code="DENIED")
    title, reason, text = _explained(missing, request, admin_url)
    return Page(404, title, (text,), reason=reason, code=_CODES.get(request.kind, "MANIFEST_UNKNOWN"))


def _explained(missing: MissingImage, request: RegistryRequest, admin_url: str) -> tuple[str, str, str]:
    """Return title, reason phrase and message."""
    name = image_name(missing)
    if missing.why is Why.BY_TAG:
        text = f"{name}: images are served by digest, never by tag, because tags move. {_offer(missing, admin_url)}"
        return "Asked for by tag", "Images are served by digest only", text
    if missing.why is Why.PLATFORM_NOT_CHOSEN:
        platform = f" ({missing.platform})" if missing.platform else ""
        text = f"platform not mirrored: {name}{platform} belongs to a mirrored index, and was not chosen; choose it at "
        return "Platform not mirrored", "Platform not mirrored", f"{text}{admin_url}/images/{missing.image_id}"
    if missing.why is Why.DECLARED:
        return _declared(missing)
    if missing.why is Why.NOT_A_PART:
        text = f"{name}: no mirrored image of this repository has such a blob"
        return "Not mirrored", "Not a blob of a mirrored image", text
    text = f"{name} is not mirrored: nobody declared it, and this mirror fetches nothing by itself. "
    if request.kind is Kind.TAGS:
        return "Not mirrored", "Not declared in Distfile Mirror", text + f"Declare an image of it at {admin_url}/images"
    return "Not mirrored", "Not declared in Distfile Mirror", text + _form(missing, admin_url)


def _declared(missing: MissingImage) -> tuple[str, str, str]:
    name = image_name(missing) + (f" ({missing.platform})" if missing.platform else "")
    if missing.state is State.FAILED:
        text = f"{name} is declared, and its download failed: {missing.message}"
        return "Download failed", "Declared but its download failed", text
    if missing.state is State.REJECTED:
        return "Rejected", "Declared but rejected", f"{name} was declared, and rejected: {missing.message}"
    if missing.state is State.REQUESTED:
        text = f"{name} is declared, and waits for somebody to approve it"
        return "Waiting for approval", "Declared but not approved yet", text
    text = f"{name} is declared, and not here yet"
    if missing.state is State.FETCHING:
        total = f" of {missing.total_bytes:,}" if missing.total_bytes else ""
        text += f"; it is being fetched now: {missing.received_bytes:,}{total} bytes have come"
    if missing.message:
        text += f"; the last attempt failed, and it will be tried again: {missing.message}"
    return "Not here yet", "Declared but not fetched yet", text


def _offer(missing: MissingImage, admin_url: str) -> str:
    if not missing.present:
        return f"None of this repository is mirrored yet; {_form(missing, admin_url)}"
    known = ", ".join(f"{digest} ({note})" if note else digest for digest, note in missing.present)
    return f"Mirrored of this repository: {known}. For another, {_form(missing, admin_url)}"


def _form(missing: MissingImage, admin_url: str) -> str:
    query = urlencode({"reference": image_name(missing)})
    return f"declare it, saying what it is for, at {admin_url}/images/declare?{query}"


def image_name(missing: MissingImage) -> str:
    """Return the reference of what is asked for."""
    separator = "@" if ":" in missing.reference else ":"
    reference = separator + missing.reference if missing.reference else ""
    return f"{missing.registry}/{missing.repository}{reference}"
