"""What `doctor` says of how people sign in, short of who they are."""

import requests

from distfile_mirror.catalog.database_urls import is_sqlite
from distfile_mirror.config import Config
from distfile_mirror.wiring.findings import ANSWER_SECONDS, Found, Level

DISCOVERY = "/.well-known/openid-configuration"


def sign_in(config: Config) -> Found:
    """See doctor.examine."""
    if config.sign_in == ("none",):
        yield Level.FINE, "none: everybody on this machine may do everything"
        return
    yield Level.FINE, f"people sign in by {', '.join(config.sign_in)}"
    if not config.effective_admin_url.startswith("https://") and not config.admin_listen.is_loopback:
        yield (
            Level.WARNING,
            "passwords travel in the clear: put TLS in front, and set admin_url to its https:// address",
        )
    if config.secret_key is None and not is_sqlite(config.effective_database_url):
        yield Level.WARNING, "each copy of the admin has its own key of cookies: set secret_key if there are several"
    if "oidc" in config.sign_in:
        yield _provider(config.oidc_issuer.rstrip("/"))


def _provider(issuer: str) -> tuple[Level, str]:
    """Ask the OpenID provider for its configuration (OpenID Connect Discovery 1.0, 4)."""
    try:
        answer = requests.get(issuer + DISCOVERY, timeout=ANSWER_SECONDS)
        answer.raise_for_status()
        named = str(answer.json()["issuer"])
    except requests.RequestException as error:
        return Level.BROKEN, f"the OpenID provider does not answer: {error}"
    except (ValueError, KeyError, TypeError):
        return Level.BROKEN, f"{issuer + DISCOVERY} is no configuration of an OpenID provider: correct oidc_issuer"
    if named.rstrip("/") != issuer:
        return Level.BROKEN, f"the OpenID provider calls itself {named}: set oidc_issuer to that"
    return Level.FINE, f"the OpenID provider {issuer} answers"
