"""The blob store and the CA that a configuration asks for."""

from distfile_mirror.authority.root import Authority, load_authority
from distfile_mirror.blobs.disk import DiskBlobStore
from distfile_mirror.config import Config, ConfigurationError


def make_data_dir(config: Config) -> None:
    """Create the data folder if need be. Raises ConfigurationError."""
    try:
        config.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"data_dir: {config.data_dir} cannot be created: {error.strerror}") from None


def open_blob_store(config: Config) -> DiskBlobStore:
    """Return the blob store, ready for use. Raises StorageError, ConfigurationError."""
    make_data_dir(config)
    store = DiskBlobStore(config.blobs_dir)
    store.prepare()
    return store


def ca_passphrase(config: Config) -> str | None:
    """Return what decrypts the CA key, if anything."""
    return config.ca_passphrase.get_secret_value() if config.ca_passphrase else None


def open_authority(config: Config) -> Authority:
    """Return the CA. Raises AuthorityError."""
    return load_authority(config.effective_ca_dir, passphrase=ca_passphrase(config))
