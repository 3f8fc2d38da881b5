"""A small OpenID provider on loopback: discovery, authorize, token with a signed id token, keys, userinfo.

Authorizing asks no questions: whoever comes is the ``person`` that the test says. It is strict with the client:
redirect URI, secret and PKCE must be right.
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID = "mirror"
CLIENT_SECRET = "only for the provider"
KEY_ID = "one"


class Provider:
    """What it knows. ``person``: the claims of whoever authorizes next; ``userinfo``: others than in the token."""

    def __init__(self, address):
        self.issuer = address
        self.redirect_uris = set()
        self.person = {"sub": "17", "preferred_username": "Ann"}
        self.userinfo = {}
        self.changed_claims = {}
        self.error = ""
        self.is_broken = False
        self.codes = {}
        self.tokens = {}
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def authorize(self, query):
        """Return where the browser is sent."""
        assert query["client_id"] == CLIENT_ID
        assert query["redirect_uri"] in self.redirect_uris, query["redirect_uri"]
        assert query["response_type"] == "code"
        assert "openid" in query["scope"].split()
        assert query["code_challenge_method"] == "S256"
        if self.error:
            return f"{query['redirect_uri']}?{urlencode({'error': self.error, 'state': query['state']})}"
        code = secrets.token_urlsafe()
        self.codes[code] = (query, dict(self.person))
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def exchange(self, form, authorization):
        """Return a token answer, or None for a client or code that is wrong."""
        query, person = self.codes.pop(form.get("code"), (None, None))
        basic = "Basic " + base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        is_client = authorization == basic or (form.get("client_id"), form.get("client_secret")) == (
            CLIENT_ID,
            CLIENT_SECRET,
        )
        if not query or not is_client or form["redirect_uri"] != query["redirect_uri"]:
            return None
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != query["code_challenge"]:
            return None
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300, **person, **self.changed_claims}
        access = secrets.token_urlsafe()
        self.tokens[access] = {**person, **self.userinfo}
        id_token = jwt.encode(claims, self.key, algorithm="RS256", headers={"kid": KEY_ID})
        return {"access_token": access, "token_type": "Bearer", "expires_in": 300, "id_token": id_token}

    def discovery(self):
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        }

    def keys(self):
        key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [{**key, "kid": KEY_ID, "alg": "RS256", "use": "sig"}]}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        provider, parts = self.server.provider, urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if provider.is_broken:
            self._answer(503, {})
        elif parts.path == "/.well-known/openid-configuration":
            self._answer(200, provider.discovery())
        elif parts.path == "/authorize":
            self.send_response(302)
            self.send_header("Location", provider.authorize(query))
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif parts.path == "/keys":
            self._answer(200, provider.keys())
        elif parts.path == "/userinfo":
            found = provider.tokens.get(self.headers.get("Authorization", "").removeprefix("Bearer "))
            self._answer(200 if found else 401, found or {})
        else:
            self._answer(404, {})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        found = self.server.provider.exchange(form, self.headers.get("Authorization", ""))
        self._answer(200 if found else 400, found or {"error": "invalid_grant"})

    def _answer(self, status, document):
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@contextmanager
def running_provider():
    """Give a provider that answers on a free port of the loopback interface."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.provider = Provider(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
