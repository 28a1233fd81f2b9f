"""The FastAPI application of the gateway, made from its services."""

import re

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from deployments.gateway import (
    account_routes,
    analytics_routes,
    api_key_routes,
    audit_routes,
    billing_routes,
    cache_routes,
    chatbot_routes,
    chunk_preview_routes,
    consent_routes,
    erasure_routes,
    evaluation_routes,
    export_routes,
    feedback_routes,
    fetch_routes,
    health_routes,
    invitation_routes,
    job_routes,
    knowledge_routes,
    member_routes,
    message_routes,
    mfa_routes,
    oidc_routes,
    passage_routes,
    password_routes,
    platform_routes,
    prompt_routes,
    publish_routes,
    question_set_routes,
    reembedding_routes,
    retrieval_routes,
    review_routes,
    session_routes,
    sign_in_routes,
    socket_protocol,
    tenancy_routes,
    tenant_routes,
    trace_routes,
    usage_routes,
    visitor_routes,
)
from deployments.gateway.body_limit import BodyLimit
from deployments.gateway.client_address import TrustedProxies
from deployments.gateway.documentation import install_documentation
from deployments.gateway.errors import install_error_handlers
from deployments.gateway.idempotency import Idempotency
from deployments.gateway.openai_api import chat_routes, embedding_routes
from deployments.gateway.page import ChatPage
from deployments.gateway.principal import record_permissions
from deployments.gateway.rate_door import RateDoor
from deployments.gateway.request_context import RequestContext
from deployments.gateway.services import GatewayServices
from deployments.gateway.socket_door import SocketDoor

UPLOADS = re.compile(r"/knowledgebase/[^/]*/(?:upload|chunk-preview/file)|/chatbots/[^/]*/question-sets/[^/]*/upload")
"""Read as they arrive, by the route itself."""
EXPOSED_HEADERS = (
    "Idempotency-Replayed",
    "RateLimit-Limit",
    "RateLimit-Policy",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "Retry-After",
    "X-Request-ID",
)
"""What a page of an allowed origin may read of an answer, beside its content."""


def build_app(services: GatewayServices, *, behind_serve: bool = False) -> FastAPI:
    """Every route of the platform. The caller opens and closes the services; an application serves one event loop.

    `behind_serve` says that Serve adds `X-Request-ID` to the answers; there is one of it either way.
    """
    socket_protocol.install()
    app = FastAPI(
        title="Loquent",
        version="0.1.0",
        summary="Chatbots that answer from your documents.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    install_error_handlers(app)
    for module in (
        # First, because routes are looked for in this order, one by one, and these are asked most.
        chat_routes,
        embedding_routes,
        account_routes,
        mfa_routes,
        oidc_routes,
        tenant_routes,
        chatbot_routes,
        cache_routes,
        publish_routes,
        question_set_routes,
        evaluation_routes,
        knowledge_routes,
        retrieval_routes,
        job_routes,
        fetch_routes,
        passage_routes,
        chunk_preview_routes,
        prompt_routes,
        reembedding_routes,
        session_routes,
        message_routes,
        feedback_routes,
        review_routes,
        visitor_routes,
        billing_routes,
        audit_routes,
        erasure_routes,
        consent_routes,
        export_routes,
        analytics_routes,
        usage_routes,
        trace_routes,
        sign_in_routes,
        api_key_routes,
        password_routes,
        tenancy_routes,
        member_routes,
        invitation_routes,
        platform_routes,
        health_routes,
    ):
        app.include_router(module.router)
    record_permissions(app)
    install_documentation(app)
    app.router.default = ChatPage(services.page_dir, services.settings.frame_ancestors)
    # The last one added is the outermost.
    app.add_middleware(Idempotency, services=services)
    app.add_middleware(BodyLimit, limit=services.settings.max_body_bytes, streamed=UPLOADS, raw=("/webhooks/",))
    app.add_middleware(RateDoor, services=services)
    # Tokens travel in a header of their own, so no origin is ever allowed credentials.
    app.add_middleware(
        CORSMiddleware,
        allow_origins=services.settings.allowed_origins,
        allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
        allow_headers=("Authorization", "Content-Type", "Idempotency-Key", "X-Request-ID"),
        expose_headers=EXPOSED_HEADERS,
    )
    app.add_middleware(SocketDoor, services=services)
    app.add_middleware(
        RequestContext,
        metrics=services.metrics,
        proxies=TrustedProxies(services.settings.trusted_proxies),
        names_request=not behind_serve,
    )
    return app
