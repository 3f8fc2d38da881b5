"""How object stores are reached: credentials, time limits, retries.

What is not set here obstore takes from the environment, by the names that each vendor's own tools
read (AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT_NAME and their kin).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from distfile_mirror.blobs.locations import S3, BlobsLocation
from distfile_mirror.blobs.secret_files import read_secret

if TYPE_CHECKING:  # types that are not there when the program runs
    from obstore.store import ClientConfig, ObjectStore, RetryConfig, S3Config, S3Credential

CONNECT_SECONDS = 3
# A store that is silent for so long while it is read from has failed.
READ_SILENCE_SECONDS = 5
# While it is written to it says nothing until it has all of a part, and has put it into its place.
WRITE_SILENCE_SECONDS = 120
# Of a whole answer, however large: silence is what tells a fault.
ANSWER_SECONDS = 24 * 3600
MAX_RETRIES = 3
RETRY_SECONDS = 5
# Files with credentials are read anew so often: whoever rotates them need not restart anything.
CREDENTIALS_SECONDS = 5
# obstore asks for new ones so long before the old ones expire.
_EXPIRY_MARGIN_SECONDS = 300


@dataclass(frozen=True, slots=True)
class S3Settings:
    """What is needed beside a bucket's name; empty or None: as the environment says, or S3's own.

    ``path_style``: the bucket is the first part of the path, and not of the host name. ``ca_file``: a PEM
    file of CAs that are trusted beside the usual ones.
    """

    endpoint: str = ""
    region: str = ""
    path_style: bool = True
    access_key_id_file: Path | None = None
    secret_access_key_file: Path | None = None
    ca_file: Path | None = None


class Connections(NamedTuple):
    """The same store twice: ``reading`` gives up soon, ``writing`` has patience."""

    reading: ObjectStore
    writing: ObjectStore


def connect(location: BlobsLocation, s3: S3Settings) -> Connections:
    """Return the store at ``location``, which is not a folder; nothing is asked of it yet.

    Raises:
        ValueError: if settings or environment cannot be used, saying why.
    """
    try:
        return Connections(
            *(
                _store(location, s3, _client_options(s3, silence), _retries())
                for silence in (READ_SILENCE_SECONDS, WRITE_SILENCE_SECONDS)
            )
        )
    except (BaseError, OSError) as error:
        message = f"{location} cannot be used: {str(error).splitlines()[0]}"
        raise ValueError(message) from None


def _store(location: BlobsLocation, s3: S3Settings, client: ClientConfig, retries: RetryConfig) -> ObjectStore:
    prefix = location.path or None
    if location.scheme == "gs":
        return GCSStore(location.bucket, prefix=prefix, client_options=client, retry_config=retries)
    if location.scheme == "az":
        return AzureStore(location.bucket, prefix=prefix, client_options=client, retry_config=retries)
    assert location.scheme == S3  # noqa: S101 - as parsed
    return S3Store(
        location.bucket,
        prefix=prefix,
        config=_s3_config(location, s3),
        client_options=client,
        retry_config=retries,
        credential_provider=_from_files(s3),
    )


def _s3_config(location: BlobsLocation, s3: S3Settings) -> S3Config:
    config: S3Config = {"virtual_hosted_style_request": not s3.path_style}
    if s3.endpoint:
        config["endpoint"] = s3.endpoint if s3.path_style else _with_bucket(s3.endpoint, location.bucket)
    if s3.region:
        config["region"] = s3.region
    return config


def _with_bucket(endpoint: str, bucket: str) -> str:
    parts = urlsplit(endpoint)
    return urlunsplit(parts._replace(netloc=f"{bucket}.{parts.netloc}"))


def _from_files(s3: S3Settings) -> Callable[[], S3Credential] | None:
    key_file, secret_file = s3.access_key_id_file, s3.secret_access_key_file
    if key_file is None or secret_file is None:
        return None

    def read() -> S3Credential:
        return {
            "access_key_id": read_secret(key_file),
            "secret_access_key": read_secret(secret_file),
            "token": None,
            "expires_at": datetime.now(UTC) + timedelta(seconds=_EXPIRY_MARGIN_SECONDS + CREDENTIALS_SECONDS),
        }

    return read


def _client_options(s3: S3Settings, silence: int) -> ClientConfig:
    options: ClientConfig = {
        "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
        "read_timeout": timedelta(seconds=silence),
        "timeout": timedelta(seconds=ANSWER_SECONDS),
        "user_agent": "distfile-mirror",
    }
    # obstore reads this variable only where it is given no options.
    if s3.endpoint.startswith("http://") or os.environ.get("AWS_ALLOW_HTTP", "").lower() in {"1", "true", "yes"}:
        options["allow_http"] = True
    if s3.ca_file is not None:
        options["root_certificate"] = s3.ca_file.read_bytes()
    return options


def _retries() -> RetryConfig:
    return {
        "max_retries": MAX_RETRIES,
        "retry_timeout": timedelta(seconds=RETRY_SECONDS),
        "backoff": {
            "init_backoff": timedelta(milliseconds=100),
            "max_backoff": timedelta(seconds=2),
            "base": 2,
        },
    }
