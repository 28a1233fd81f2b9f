"""Turns Stripe's errors into ours: a sentence for the user, the detail for the log."""

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import stripe
import structlog

from domain.errors import Conflict, InvalidInput, PaymentRequired, Unavailable

log = structlog.get_logger(__name__)

_CARD_SENTENCES = {
    "expired_card": "The card has expired.",
    "insufficient_funds": "The card has insufficient funds.",
    "incorrect_cvc": "The card's security code is wrong.",
    "incorrect_number": "The card's number is wrong.",
    "authentication_required": "The card needs its owner's confirmation.",
}
UNAVAILABLE = "Payments are not available at the moment; try again."


def is_missing(error: stripe.InvalidRequestError) -> bool:
    """Whether Stripe says that the thing asked for does not exist."""
    return error.http_status == 404 or error.code == "resource_missing"


@contextmanager
def stripe_failures(refusal: str = "The payment provider refused the request.") -> Iterator[None]:
    """Raise InvalidInput with `refusal`, PaymentRequired, Conflict or Unavailable instead of a StripeError."""
    try:
        yield
    except stripe.CardError as error:
        raise PaymentRequired(_CARD_SENTENCES.get(error.code or "", "The card was declined.")) from error
    except stripe.IdempotencyError as error:
        raise Conflict("The same change was requested in another form; try again later.") from error
    except stripe.InvalidRequestError as error:
        log.warning("stripe_refused", code=error.code, param=error.param, stripe_request=error.request_id)
        raise InvalidInput(refusal) from error
    except stripe.StripeError as error:
        # Connection, rate limit, their server, or a key that is wrong: only an operator can do something.
        log.error("stripe_failed", kind=type(error).__name__, code=error.code, stripe_request=error.request_id)
        raise Unavailable(UNAVAILABLE) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        # The SDK wraps what happens until the headers, not a body that stops half-way.
        log.error("stripe_failed", kind=type(error).__name__)
        raise Unavailable(UNAVAILABLE) from error
