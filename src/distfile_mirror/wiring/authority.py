"""The CA that a configuration asks for. Apart: cryptography takes a while to import, and few processes sign."""

from distfile_mirror.authority.root import Authority, load_authority
from distfile_mirror.config import Config


def ca_passphrase(config: Config) -> str | None:
    """Return what decrypts the CA key, if anything."""
    return config.ca_passphrase.get_secret_value() if config.ca_passphrase else None


def open_authority(config: Config) -> Authority:
    """Return the CA. Raises AuthorityError."""
    return load_authority(config.effective_ca_dir, passphrase=ca_passphrase(config))
