"""The blob store and the CA that a configuration asks for."""

from distfile_mirror.authority.root import Authority, load_authority
from distfile_mirror.blobs.disk import DiskBlobStore
from distfile_mirror.blobs.object_connection import S3Settings, connect
from distfile_mirror.blobs.object_store import ObjectBlobStore
from distfile_mirror.blobs.store import BlobStore
from distfile_mirror.config import Config, ConfigurationError


def make_data_dir(config: Config) -> None:
    """Create the data folder if need be. Raises ConfigurationError."""
    try:
        config.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"data_dir: {config.data_dir} cannot be created: {error.strerror}") from None


def open_blob_store(config: Config) -> BlobStore:
    """Return the blob store, ready for use; an object store may be away. Raises StorageError, ConfigurationError."""
    make_data_dir(config)
    folder = config.blobs_location.folder
    store = DiskBlobStore(folder) if folder is not None else _object_store(config)
    store.prepare()
    return store


def _object_store(config: Config) -> ObjectBlobStore:
    settings = S3Settings(
        endpoint=config.s3_endpoint,
        region=config.s3_region,
        path_style=config.s3_path_style,
        access_key_id_file=config.s3_access_key_id_file,
        secret_access_key_file=config.s3_secret_access_key_file,
    )
    try:
        connections = connect(config.blobs_location, settings)
    except ValueError as error:
        raise ConfigurationError(f"blobs_url: {error}") from None
    return ObjectBlobStore(connections, name=str(config.blobs_location), folder=config.data_dir / "spool")


def ca_passphrase(config: Config) -> str | None:
    """Return what decrypts the CA key, if anything."""
    return config.ca_passphrase.get_secret_value() if config.ca_passphrase else None


def open_authority(config: Config) -> Authority:
    """Return the CA. Raises AuthorityError."""
    return load_authority(config.effective_ca_dir, passphrase=ca_passphrase(config))
