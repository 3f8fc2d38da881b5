"""Distfile Mirror: an organisation's permanent store of the third-party artifacts its builds use."""

__version__ = "0.1.0"
