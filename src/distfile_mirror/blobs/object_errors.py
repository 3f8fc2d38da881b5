"""What an object store's errors mean to people: one line that names the store, the reason, and what to do."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from distfile_mirror.blobs.store import BlobMissingError
from distfile_mirror.errors import StorageError

MAX_REASON_CHARACTERS = 200
# An address that only a cloud's own machines have: it is asked for credentials where none are given.
_INSTANCE_METADATA = "169.254.169.254"
# Where obstore takes them from, by the scheme of the store.
_CREDENTIALS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name files",
    "gs": "name the JSON file of a service account in GOOGLE_APPLICATION_CREDENTIALS",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
_CODE = re.compile(r"<Code>(\w+)</Code>")
_NO_BUCKET = frozenset({"NoSuchBucket", "ContainerNotFound"})
# What obstore knows of a connection that failed stands only in the details.
_CONNECTION_REASONS = re.compile(r'message: "([^"]+)"|error: "([^"]+)"|(TimedOut)|kind: (Timeout)')
# From read_secret, through obstore.
_OWN_READER = re.compile(r"External AWS credential provider: \w+: (.*)")
_AT = re.compile(r"Error performing \w+ (https?://[^/\s]+)")


class UnreachableError(StorageError):
    """The object store cannot be reached now."""


@contextmanager
def object_errors(store: str, key: str) -> Iterator[None]:
    """Turn what obstore raises into StorageError, or BlobMissingError where ``store`` has no ``key``."""
    try:
        yield
    except FileNotFoundError as error:
        if _code(str(error)) in _NO_BUCKET:
            raise StorageError(f"the blob store failed: {store} does not exist: create the bucket") from error
        raise BlobMissingError(f"{key} is missing from the blob store {store}") from error
    except (BaseError, ValueError) as error:
        kind = UnreachableError if _is_about_connections(str(error)) else StorageError
        raise kind(f"the blob store failed: {_told(store, error)}") from error


def _told(store: str, error: Exception) -> str:
    text = str(error)
    at = _AT.search(text)
    where = f"{store} at {at[1]}" if at else store
    own = _OWN_READER.search(text)
    if own:
        return f"there are no credentials for {store}: {own[1]}"
    if _INSTANCE_METADATA in text:
        return f"there are no credentials for {store}: {_CREDENTIALS[store.partition('://')[0]]}"
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        code = _code(text)
        return f"{where} refuses the credentials{f' ({code})' if code else ''}: check key, secret and rights"
    return f"{where} {_fault(text)}"


def _fault(text: str) -> str:
    if "BadScheme" in text:
        return "is asked without TLS, which must be allowed: name it in s3_endpoint, or set AWS_ALLOW_HTTP"
    if "InvalidCertificate" in text:
        return "has a certificate that is not trusted: name the file of its CA in s3_ca"
    if _is_about_connections(text):
        return f"cannot be reached: {_connection_reason(text)}"
    reason = _code(text) or text.partition("\n")[0]
    return f"does not do as it should: {reason[:MAX_REASON_CHARACTERS]}"


def _is_about_connections(text: str) -> bool:
    return "error sending request" in text or "response body error" in text


def _connection_reason(text: str) -> str:
    match = _CONNECTION_REASONS.search(text)
    if match is None:
        return "the connection broke"
    return match[1] or match[2] or "no answer in time"


def _code(text: str) -> str:
    match = _CODE.search(text)
    return match[1] if match else ""
