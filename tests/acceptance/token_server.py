"""The token server of a registry: Debian's docker-registry believes what its certificate signs (ES256)."""

import base64
import json
import time
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

SERVICE = "registry.test"
ISSUER = "tests"


class TokenServer:
    """A handler for an UpstreamServer's ``/token``. ``credentials``: user:password that must come, or None."""

    def __init__(self, authority, *, credentials=None, seconds=60):
        self.pem = authority.server_file("token.test")
        content = self.pem.read_bytes()
        self._key = serialization.load_pem_private_key(content, None)
        self._certificate = x509.load_pem_x509_certificate(content)
        self._credentials = credentials
        self._seconds = seconds
        self.scopes = []

    def bundle(self, folder):
        """Write the certificate that signs, for the registry's rootcertbundle."""
        path = folder / "token-signer.pem"
        path.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def __call__(self, exchange):
        query = urllib.parse.parse_qs(exchange.request.target.partition("?")[2])
        if self._credentials is not None:
            expected = "Basic " + base64.b64encode(self._credentials.encode()).decode()
            if exchange.request.headers.get("authorization") != expected:
                exchange.respond(b"{}", status=401, reason="Unauthorized")
                return
        self.scopes += query.get("scope", [])
        token = self._token(query.get("scope", []))
        body = json.dumps({"token": token, "expires_in": self._seconds}).encode()
        exchange.respond(body, headers={"Content-Type": "application/json"})

    def _token(self, scopes):
        der = self._certificate.public_bytes(serialization.Encoding.DER)
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        now = int(time.time())
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        claims = {"iss": ISSUER, "sub": "", "aud": SERVICE, "nbf": now - 5, "iat": now, "jti": str(now)}
        claims |= {"exp": now + self._seconds, "access": access}
        signed = f"{_encode(json.dumps(header).encode())}.{_encode(json.dumps(claims).encode())}"
        first, second = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_encode(first.to_bytes(32, 'big') + second.to_bytes(32, 'big'))}"


def _encode(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
