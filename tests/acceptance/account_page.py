"""The account page as a person uses it. As a program it signs in with URL, NAME and PASSWORD, and prints a token."""

import re
import sys

import httpx


def token_of(admin, name, password):
    """Sign in at ``admin``, a URL, and make a token with all the rights that one has."""
    with httpx.Client(base_url=admin, follow_redirects=True, trust_env=False) as browser:

        def send(path, form):
            found = re.search('name="csrfmiddlewaretoken" value="([^"]+)"', browser.get(path).text)
            return {**form, "csrfmiddlewaretoken": found[1]}

        page = browser.post("/sign-in", data=send("/sign-in", {"name": name, "password": password, "next": "/account"}))
        assert page.url.path == "/account", page.text
        page = browser.post("/account/tokens", data=send("/account", {"name": "cli", "role": "viewer", "days": ""}))
        assert page.status_code == 200, f"{page.status_code} {page.text}"
        roles = re.findall(r"<option[^>]*>(\w+)</option>", page.text)
        page = browser.post("/account/tokens", data=send("/account", {"name": "more", "role": roles[-1], "days": "1"}))
        return re.search(r"dfm_[\w-]+", page.text)[0]


if __name__ == "__main__":
    sys.stdout.write(token_of(*sys.argv[1:]))
