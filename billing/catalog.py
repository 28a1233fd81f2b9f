"""Our price list at Stripe: products and plans with ids of our own making, created when they are first needed."""

import re

from billing.account import Object, StripeAccount
from configs.tables import load_plans
from domain.errors import InvalidInput
from domain.plans import Plan

_PLAN_ID = re.compile(r"loquent-(?P<key>[a-z0-9_]+)-[a-z]{3}-\d+-month")


def stripe_plan_id(plan: Plan) -> str:
    """The price is part of the id: a new price is a new plan, and who pays the old one keeps it."""
    return f"loquent-{plan.key}-{plan.currency}-{plan.price_cents}-month"


async def ensure_plan(account: StripeAccount, plan: Plan) -> str:
    """Stripe's id of the plan, which exists afterwards. Safe to call at the same time from many places."""
    plan_id = stripe_plan_id(plan)
    if await account.find_plan(plan_id) is None:
        product_id = f"loquent-{plan.key}"
        if await account.find_product(product_id) is None:
            await account.create_product(product_id, f"Loquent {plan.name}")
        await account.create_plan(plan_id, product_id, plan.price_cents, plan.currency, plan.key)
    return plan_id


def plan_key_of(subscription: Object) -> str:
    """Our key of what is subscribed to, also at an earlier price. Raises InvalidInput for a plan that is not ours."""
    key = _find_key(subscription)
    if key is None:
        raise InvalidInput("The subscription is to a plan that is not in the price list.")
    return key


def is_ours(subscription: Object) -> bool:
    return _find_key(subscription) is not None


def _find_key(subscription: Object) -> str | None:
    for item in subscription["items"]["data"]:
        for offer in (item.get("plan"), item.get("price")):
            if not isinstance(offer, dict):
                continue
            named = (offer.get("metadata") or {}).get("loquent_plan")
            match = _PLAN_ID.fullmatch(str(offer.get("id")))
            key = named or (match["key"] if match else None)
            if key in load_plans():
                return str(key)
    return None
