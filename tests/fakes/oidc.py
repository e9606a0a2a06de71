"""A fake OpenID Connect provider on a socket, which signs one person in immediately.

It checks what a strict provider checks: the client's secret, the redirect URI, and PKCE. The ID
token has the nonce of the request.
"""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID, CLIENT_SECRET = "dragoman", "client-secret-1"
_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Provider:
    """The provider: `claims` of the person; `document` overrides the discovery document."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {"sub": "u1", "preferred_username": "mia"}
        self.document: dict[str, Any] = {}
        self.challenges: dict[str, str] = {}
        self.requests: list[dict[str, str]] = []
        self.issuer = ""

    def discovery(self) -> dict[str, Any]:
        paths = {
            "authorization_endpoint": "authorize",
            "token_endpoint": "token",
            "userinfo_endpoint": "userinfo",
            "jwks_uri": "jwks",
        }
        document = {name: f"{self.issuer}/{path}" for name, path in paths.items()}
        methods = {"token_endpoint_auth_methods_supported": ["client_secret_basic"]}
        return {"issuer": self.issuer, **document, **methods, **self.document}

    def id_token_claims(self) -> dict[str, Any]:
        """Claims of the ID token only; `nonce` is that of the last request, if it had one."""
        nonce = self.requests[-1].get("nonce")
        return {} if nonce is None else {"nonce": nonce}

    def authorize(self, query: dict[str, str]) -> str:
        assert query["client_id"] == CLIENT_ID
        assert query["code_challenge_method"] == "S256"
        self.challenges["code-1"] = query["code_challenge"]
        self.requests.append(query)
        return f"{query['redirect_uri']}?{urlencode({'code': 'code-1', 'state': query['state']})}"

    def token(self, form: dict[str, str], authorization: str) -> dict[str, Any]:
        expected = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        assert authorization == f"Basic {expected}"
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        assert self.challenges.pop(form["code"]) == challenge
        now = int(time.time())
        times = {"iat": now, "exp": now + 60}
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "sub": self.claims["sub"], **times}
        claims |= self.id_token_claims()
        id_token = jwt.encode(claims, _KEY, "RS256", headers={"kid": "k1"})
        return {"access_token": "at", "token_type": "Bearer", "id_token": id_token}


@contextmanager
def oidc_provider(context: ssl.SSLContext | None = None) -> Iterator[Provider]:
    """Run a provider; over HTTPS with a context."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def reply(self, value: Any) -> None:
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/authorize":
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                self.send_response(302)
                self.send_header("location", provider.authorize(query))
                self.send_header("content-length", "0")
                self.end_headers()
            elif parts.path == "/userinfo":
                assert self.headers["authorization"] == "Bearer at"
                self.reply(provider.claims)
            else:
                self.reply(provider.discovery())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            self.reply(provider.token(form, self.headers["authorization"]))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    scheme = "http" if context is None else "https"
    provider.issuer = f"{scheme}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
