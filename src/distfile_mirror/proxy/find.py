"""Asks the catalog what a request needs: a file by its URI, or something of a registry. Runs in threads."""

import json

from distfile_mirror.catalog.database import reading
from distfile_mirror.catalog.found import FoundContent, FoundFile, MissingImage
from distfile_mirror.catalog.look_up import find_file
from distfile_mirror.catalog.look_up_images import find_blob, find_manifest, find_referrers, find_tags, has_registry
from distfile_mirror.errors import DamagedError
from distfile_mirror.proxy.registry_paths import Kind, RegistryRequest

# Nothing here asks for a token; this is for clients that fetch one all the same, and must find something.
_TOKEN = json.dumps({"token": "anonymous", "access_token": "anonymous", "expires_in": 3600}).encode()


def find(uri: str, request: RegistryRequest | None) -> FoundFile | FoundContent | MissingImage | None:
    """Return what is known of ``uri``, which is ``request`` where a registry may have it.

    What no image has may still be declared as a file: some registries' blobs are downloaded as such.

    Raises:
        UnavailableError: if the database does not answer.
        DamagedError: if its bytes were found damaged, and not repaired yet.
    """
    found = reading(lambda: _find(uri, request))
    if isinstance(found, FoundFile | FoundContent) and found.is_damaged:
        raise DamagedError
    return found


def _find(uri: str, request: RegistryRequest | None) -> FoundFile | FoundContent | MissingImage | None:
    if request is None:
        return find_file(uri)
    found = _find_in_registry(request)
    if isinstance(found, FoundContent) or request.as_mirror:
        return found
    return find_file(uri) or found


def _find_in_registry(request: RegistryRequest) -> FoundContent | MissingImage | None:
    match request.kind:
        case Kind.MANIFEST:
            return find_manifest(request.candidates, request.reference)
        case Kind.BLOB:
            return find_blob(request.candidates, request.reference)
        case Kind.REFERRERS:
            return find_referrers(request.candidates, request.reference, request.artifact_type)
        case Kind.TAGS:
            return find_tags(request.candidates)
        case Kind.TOKEN if has_registry(request.registry):
            return FoundContent("", "application/json", len(_TOKEN), content=_TOKEN, permanent=False)
        case _:
            return None
