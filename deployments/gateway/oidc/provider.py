"""One identity provider: its published addresses, the way to its log-in, and what a code of it is worth.

Source: OpenID Connect Core and Discovery 1.0; RFC 7636 (PKCE), RFC 9207 (`iss`), RFC 9700.
"""

import base64
import hashlib
import time
from typing import Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from configs.identity import IdentityProvider, is_safe_url
from deployments.gateway.oidc.id_token import Identity, identity_of, verified_claims
from deployments.gateway.oidc.provider_http import ProviderHttp
from deployments.gateway.oidc.refusals import IdentityInvalid
from deployments.gateway.oidc.signing_keys import SigningKeys
from domain.errors import Unavailable
from storage.redis.sign_in_flows import Flow

SCOPES = "openid email profile"
METADATA_SECONDS = 3_600.0
_MISCONFIGURED = "The identity provider is not set up correctly."


class OidcProvider:
    """`redirect_uri` is where the provider sends people back to."""

    def __init__(self, table: IdentityProvider, http: ProviderHttp, redirect_uri: str) -> None:
        self.table = table
        self.redirect_uri = redirect_uri
        secret = table.client_secret
        self._secret = secret.get_secret_value() if secret else None
        self._http = http
        self._keys = SigningKeys(self._fetch_keys)
        self._metadata: dict[str, Any] = {}
        self._read_at = 0.0

    async def log_in_url(self, state: str, nonce: str, verifier: str) -> str:
        """Where the browser goes. Raises Unavailable."""
        endpoint = urlsplit(await self._endpoint("authorization_endpoint"))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self.table.client_id,
                "redirect_uri": self.redirect_uri,
                "scope": SCOPES,
                "state": state,
                "nonce": nonce,
                "code_challenge": challenge,
                "code_challenge_method": "S256",
            }
        )
        return urlunsplit(endpoint._replace(query=f"{endpoint.query}&{query}" if endpoint.query else query))

    async def check_issuer(self, issuer: str | None) -> None:
        """Of an answer: no other provider's may be taken for this one's. Raises IdentityInvalid, Unavailable."""
        said = (await self._read()).get("authorization_response_iss_parameter_supported") is True
        if issuer != self.table.issuer and (issuer is not None or said):
            raise IdentityInvalid

    async def identity_for(self, code: str, flow: Flow) -> Identity:
        """Whom the provider signed in. Raises IdentityInvalid, Unavailable."""
        tokens = await self._exchange(code, flow.verifier)
        claims = await verified_claims(tokens.get("id_token"), self.table, self._keys, flow.nonce)
        if "email" not in claims:
            claims = {**claims, **await self._user_info(str(claims["sub"]), tokens.get("access_token"))}
        return identity_of(self.table.issuer, claims)

    async def _exchange(self, code: str, verifier: str) -> dict[str, Any]:
        url = await self._endpoint("token_endpoint")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": verifier,
        }
        methods = self._metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        if self._secret is None:
            return await self._http.post(url, {**form, "client_id": self.table.client_id}, None)
        if "client_secret_basic" in methods:
            # Both parts are form-encoded first. Source: RFC 6749, section 2.3.1.
            pair = quote(self.table.client_id, safe=""), quote(self._secret, safe="")
            return await self._http.post(url, form, pair)
        return await self._http.post(
            url, {**form, "client_id": self.table.client_id, "client_secret": self._secret}, None
        )

    async def _user_info(self, subject: str, access_token: object) -> dict[str, Any]:
        """The e-mail address, where the ID token leaves it out. Raises IdentityInvalid for somebody else's."""
        if "userinfo_endpoint" not in await self._read() or not isinstance(access_token, str):
            return {}
        if not access_token.isascii() or not access_token.isprintable():
            raise IdentityInvalid
        url = await self._endpoint("userinfo_endpoint")
        found = await self._http.get(url, {"Authorization": f"Bearer {access_token}"})
        if found.get("sub") != subject:
            raise IdentityInvalid
        return {name: found[name] for name in ("email", "email_verified") if name in found}

    async def _fetch_keys(self) -> dict[str, Any]:
        return await self._http.get(await self._endpoint("jwks_uri"))

    async def _endpoint(self, name: str) -> str:
        """Raises Unavailable for one that is missing, or not safe to send secrets to."""
        url = (await self._read()).get(name)
        if not isinstance(url, str) or not is_safe_url(url, plain=self.table.plain):
            raise Unavailable(_MISCONFIGURED)
        return url

    async def _read(self) -> dict[str, Any]:
        """The provider's metadata, at most METADATA_SECONDS old. Raises Unavailable."""
        if self._metadata and time.monotonic() - self._read_at < METADATA_SECONDS:
            return self._metadata
        found = await self._http.get(f"{self.table.issuer.rstrip('/')}/.well-known/openid-configuration")
        methods = found.get("code_challenge_methods_supported", ["S256"])
        if found.get("issuer") != self.table.issuer or not isinstance(methods, list) or "S256" not in methods:
            raise Unavailable(_MISCONFIGURED)
        self._metadata, self._read_at = found, time.monotonic()
        return found


class OidcProviders:
    """Those of this installation, by name. Raises ValueError when the environment lacks a secret."""

    def __init__(self, tables: tuple[IdentityProvider, ...], page_url: str) -> None:
        self._http = ProviderHttp()
        self._providers = {
            table.name: OidcProvider(table, self._http, f"{page_url}/auth/oidc/{table.name}/callback")
            for table in tables
        }

    def find(self, name: str) -> OidcProvider | None:
        return self._providers.get(name)

    def tables(self) -> list[IdentityProvider]:
        return [provider.table for provider in self._providers.values()]

    async def close(self) -> None:
        await self._http.close()
