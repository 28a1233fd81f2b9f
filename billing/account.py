"""Our account at Stripe: the few calls we make, as plain data, with a time limit and idempotency keys."""

from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
import stripe
from stripe import RequestOptions

from billing.failures import UNAVAILABLE, is_missing, stripe_failures
from configs.settings import Settings
from domain.errors import InvalidInput, PaymentRequired, Unavailable
from domain.ids import TenantId, new_uuid

TIMEOUT_SECONDS = 8.0
STRIPE_HOST = "api.stripe.com"
PAGE = 100
NO_METHOD = "Give a payment method to subscribe to this plan."

Object = dict[str, Any]
"""A Stripe object as it came in JSON."""


class StripeAccount:
    """One HTTP client; close it on the event loop that used it.

    Every method raises PaymentRequired, InvalidInput, Conflict or Unavailable, see `billing.failures`.
    """

    def __init__(
        self, client: stripe.StripeClient | None, http: stripe.AIOHTTPClient | None, *, complete: bool
    ) -> None:
        self._client = client
        self._http = http
        self._complete = complete
        """False for the local double, which neither waits for a payment method nor bills a change by itself."""

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Without a base URL the default test key leads nowhere: then every call raises Unavailable."""
        key = settings.stripe_api_key.get_secret_value()
        base = settings.stripe_base_url
        if base is None and key == default_secret(settings, "stripe_api_key"):
            return cls(None, None, complete=True)
        http = stripe.AIOHTTPClient(timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS))
        client = stripe.StripeClient(
            key,
            http_client=http,
            max_network_retries=1,
            base_addresses={"api": base.rstrip("/")} if base else {},
        )
        return cls(client, http, complete=base is None or urlsplit(base).hostname == STRIPE_HOST)

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close_async()  # type: ignore[no-untyped-call]

    @property
    def _v1(self) -> Any:
        # Any: the SDK's TypedDicts do not know the double's older parameters.
        if self._client is None:
            raise Unavailable(UNAVAILABLE)
        return self._client.v1

    async def find_customer(self, customer_id: str) -> Object | None:
        """None for an unknown or deleted customer."""
        found = await self._find(self._v1.customers, customer_id)
        return None if found is None or found.get("deleted") else found

    async def create_customer(self, tenant_id: TenantId, name: str, email: str | None, previous: str | None) -> Object:
        params: Object = {"name": name[:250], "metadata": {"tenant_id": str(tenant_id)}}
        if email:
            params["email"] = email
        with stripe_failures():
            made = await self._v1.customers.create_async(params, _once(f"customer:{tenant_id}:{previous or ''}"))
        return _plain(made)

    async def attach_method(self, customer_id: str, method_id: str) -> str:
        """Make the payment method the customer's default; its id. Attaching twice is the same as once."""
        with stripe_failures("There is no such payment method."):
            attached = await self._v1.payment_methods.attach_async(
                method_id, {"customer": customer_id}, _once(f"attach:{new_uuid()}")
            )
        with stripe_failures():
            await self._v1.customers.update_async(
                customer_id,
                {"invoice_settings": {"default_payment_method": attached.id}},
                _once(f"default-method:{new_uuid()}"),
            )
        return str(attached.id)

    async def find_product(self, product_id: str) -> Object | None:
        return await self._find(self._v1.products, product_id)

    async def create_product(self, product_id: str, name: str) -> None:
        await self._create(self._v1.products, {"id": product_id, "name": name}, f"product:{product_id}")

    async def find_plan(self, plan_id: str) -> Object | None:
        return await self._find(self._v1.plans, plan_id)

    async def create_plan(self, plan_id: str, product_id: str, amount: int, currency: str, key: str) -> None:
        params = {
            "id": plan_id,
            "product": product_id,
            "amount": amount,
            "currency": currency,
            "interval": "month",
            "metadata": {"loquent_plan": key},
        }
        await self._create(self._v1.plans, params, f"plan:{plan_id}")

    async def find_subscription(self, subscription_id: str) -> Object | None:
        return await self._find(self._v1.subscriptions, subscription_id)

    async def list_subscriptions(self, customer_id: str) -> list[Object]:
        """Those that have not ended, newest first."""
        with stripe_failures():
            listed = await self._v1.subscriptions.list_async({"customer": customer_id, "limit": PAGE})
        return sorted(map(_plain, listed.data), key=lambda found: -int(found["created"]))

    async def create_subscription(self, customer: Object, plan_id: str, metadata: dict[str, str], key: str) -> Object:
        """Pay with the customer's default method; without one the subscription is `incomplete` until it is paid.

        Raises PaymentRequired when there is no method and the account cannot wait for one.
        """
        params: Object = {"customer": customer["id"], "items": [{"plan": plan_id}], "metadata": metadata}
        if (customer.get("invoice_settings") or {}).get("default_payment_method"):
            params["payment_behavior"] = "allow_incomplete"
        elif self._complete:
            params["payment_behavior"] = "default_incomplete"
            params["payment_settings"] = {"save_default_payment_method": "on_subscription"}
        else:
            raise PaymentRequired(NO_METHOD)
        with stripe_failures():
            made = _plain(await self._v1.subscriptions.create_async(params, _once(key)))
        return await self._again(made)

    async def change_plan(self, subscription: Object, plan_id: str, key: str) -> Object:
        """Move a paid subscription to another plan: more is billed at once, less is credited."""
        item = subscription["items"]["data"][0]
        params: Object = {"items": [{"id": item["id"], "plan": plan_id}]}
        if self._complete:
            params |= {"proration_behavior": "always_invoice", "payment_behavior": "error_if_incomplete"}
        with stripe_failures():
            await self._v1.subscriptions.update_async(subscription["id"], params, _once(key))
        if not self._complete:
            await self._bill_change(subscription, key)
        return await self._again(subscription)

    async def _bill_change(self, subscription: Object, key: str) -> None:
        params = {"customer": subscription["customer"], "subscription": subscription["id"]}
        with stripe_failures():
            invoice = await self._v1.invoices.create_async(params, _once(f"{key}:invoice"))
            if invoice.status in ("draft", "open"):
                await self._v1.invoices.pay_async(invoice.id, {}, _once(f"{key}:pay"))

    async def cancel_subscription(self, subscription_id: str) -> Object | None:
        """End it now, crediting the rest of the period; None when Stripe does not know it (any more)."""
        with stripe_failures():
            try:
                ended = await self._v1.subscriptions.cancel_async(
                    subscription_id, {"prorate": True}, _once(f"cancel:{subscription_id}")
                )
            except stripe.InvalidRequestError as error:
                if is_missing(error):
                    return None
                raise
        return _plain(ended)

    async def client_secret(self, subscription: Object) -> str | None:
        """What the browser needs to confirm the first payment of an incomplete subscription."""
        invoice_id = subscription.get("latest_invoice")
        if subscription["status"] != "incomplete" or not isinstance(invoice_id, str):
            return None
        with stripe_failures():
            if self._complete:
                invoice = await self._v1.invoices.retrieve_async(invoice_id, {"expand": ["confirmation_secret"]})
                holder = _plain(invoice).get("confirmation_secret")
            else:
                invoice = await self._v1.invoices.retrieve_async(invoice_id, {"expand": ["payment_intent"]})
                holder = _plain(invoice).get("payment_intent")
        return holder.get("client_secret") if isinstance(holder, dict) else None

    async def find_invoice(self, invoice_id: str) -> Object | None:
        return await self._find(self._v1.invoices, invoice_id)

    async def list_invoices(self, customer_id: str) -> list[Object]:
        """The newest hundred."""
        with stripe_failures():
            listed = await self._v1.invoices.list_async({"customer": customer_id, "limit": PAGE})
        return [_plain(invoice) for invoice in listed.data]

    async def _find(self, service: Any, object_id: str) -> Object | None:
        with stripe_failures():
            try:
                return _plain(await service.retrieve_async(object_id))
            except stripe.InvalidRequestError as error:
                if is_missing(error):
                    return None
                raise

    async def _again(self, subscription: Object) -> Object:
        """The subscription as Stripe has it after everything that its invoice set off."""
        found = await self.find_subscription(subscription["id"])
        if found is None:
            raise InvalidInput("The subscription ended meanwhile.")
        return found

    async def _create(self, service: Any, params: Object, key: str) -> None:
        """Create a thing of a fixed id; another process may have been faster."""
        with stripe_failures():
            try:
                await service.create_async(params, _once(key))
            except stripe.InvalidRequestError as error:
                if error.http_status != 409 and error.code != "resource_already_exists":
                    raise


def default_secret(settings: Settings, name: str) -> str:
    """What a secret setting is when nobody set it."""
    secret: str = type(settings).model_fields[name].default.get_secret_value()
    return secret


def _once(key: str) -> RequestOptions:
    return {"idempotency_key": f"loquent:{key}"[:255]}


def _plain(found: Any) -> Object:
    """The SDK's object as a dict; its money fields may be Decimals, which JSON writes as strings."""
    return dict(found.to_dict(for_json=True))
