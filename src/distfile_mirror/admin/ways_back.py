"""Where people are led after signing in: only ever to a page of this server."""

from django.utils.http import url_has_allowed_host_and_scheme

HOME = "/"


def is_own_page(address: str) -> bool:
    """Tell whether ``address`` is a path of this server, however a browser may read it."""
    return address.startswith("/") and url_has_allowed_host_and_scheme(address, allowed_hosts=None)


def way_back(address: str) -> str:
    """Return ``address`` if it is a page of this server, else the first page."""
    return address if is_own_page(address) else HOME
