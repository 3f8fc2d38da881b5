"""Which way a request goes: straight, to another address by --connect-to, or through the environment's proxy."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_network
from urllib.request import getproxies_environment

from distfile_mirror.errors import PermanentFetchError
from distfile_mirror.model.addresses import ConnectTo
from distfile_mirror.model.uris import Authority, FileUri
from distfile_mirror.upstream.guard import literal_address


@dataclass(frozen=True, slots=True)
class Route:
    """How to ask for a URI: ``url`` says where to connect, ``host`` who is meant if that is somebody else.

    ``there``: the authority of ``url`` then.
    """

    url: str
    host: str | None = None
    server_name: str | None = None
    proxy: str | None = None
    there: Authority | None = field(default=None, compare=False)


def find_route(uri: FileUri, rules: Iterable[ConnectTo], proxies: Mapping[str, str]) -> Route:
    """Choose the way to ``uri``: the first rule that matches wins over any proxy, as it names the very address.

    Raises:
        PermanentFetchError: for a proxy of a kind that is not spoken here.
    """
    for rule in rules:
        if rule.matches(uri.authority.host, uri.authority.port):
            return _redirected(uri, rule)
    proxy = proxies.get(uri.scheme) or proxies.get("all")
    if not proxy or _bypasses(uri.authority, proxies):
        return Route(str(uri))
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    scheme = proxy.partition("://")[0].lower()
    if scheme not in {"http", "https"}:
        raise PermanentFetchError(f"the outgoing proxy for {uri.scheme} is of the kind {scheme!r}; only http is spoken")
    return Route(str(uri), proxy=proxy)


def environment_proxies() -> dict[str, str]:
    """Read HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, in lower case or upper: scheme (or "no") -> value."""
    return getproxies_environment()


def _redirected(uri: FileUri, rule: ConnectTo) -> Route:
    there = Authority(rule.to_host or uri.authority.host, rule.to_port or uri.authority.port)
    return Route(
        f"{uri.scheme}://{there.host}:{there.port}{uri.target}",
        host=uri.authority.for_scheme(uri.scheme),
        server_name=uri.authority.host.strip("[]"),
        there=there,
    )


def _bypasses(authority: Authority, proxies: Mapping[str, str]) -> bool:
    """Tell whether NO_PROXY names it: ``*``, a name with all below it, an address, a network; a port may follow."""
    host = authority.host.strip("[]")
    return any(_names(word.lower(), host, authority.port) for word in proxies.get("no", "").replace(",", " ").split())


def _names(word: str, host: str, port: int) -> bool:
    if "/" in word:
        address = literal_address(host)
        with suppress(ValueError):
            return address is not None and address in ip_network(word, strict=False)
        return False
    word = word.removesuffix(f":{port}").strip("[]").lstrip("*").lstrip(".")
    return not word or host == word or host.endswith("." + word)
