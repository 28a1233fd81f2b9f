"""Why somebody who comes from an identity provider is not let in; the page knows a sentence for each code."""

from domain.errors import Conflict, Forbidden, NotAuthenticated


class ProviderRefused(Forbidden):
    code, default = "provider_refused", "The identity provider did not sign you in."


class IdentityInvalid(NotAuthenticated):
    code, default = "identity_invalid", "What the identity provider said is not valid; try again."


class EmailNotVerified(Forbidden):
    code, default = "email_not_verified", "The identity provider has not verified your e-mail address."


class EmailNotAllowed(Forbidden):
    code, default = "email_not_allowed", "People of your e-mail address may not sign in this way."


class AccountNotLinked(Conflict):
    code = "account_not_linked"
    default = "There is an account with your e-mail address; sign in to it, and link the identity provider there."


class IdentityTaken(Conflict):
    code, default = "identity_taken", "This identity belongs to another account."
