"""Distfile Mirror: an organisation's permanent store of the third-party artifacts its builds use."""

from importlib.metadata import version

__version__ = version("distfile-mirror")
