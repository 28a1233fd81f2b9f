"""The FastAPI application of the gateway, made from its services."""

from fastapi import FastAPI

from deployments.gateway import (
    account_routes,
    billing_routes,
    chatbot_routes,
    feedback_routes,
    health_routes,
    knowledge_routes,
    message_routes,
    session_routes,
    socket_protocol,
    visitor_routes,
)
from deployments.gateway.body_limit import BodyLimit
from deployments.gateway.documentation import install_documentation
from deployments.gateway.errors import install_error_handlers
from deployments.gateway.page import ChatPage
from deployments.gateway.principal import record_permissions
from deployments.gateway.request_context import RequestContext
from deployments.gateway.services import GatewayServices
from deployments.gateway.socket_door import SocketDoor


def build_app(services: GatewayServices) -> FastAPI:
    """Every route of the platform. The caller opens and closes the services; an application serves one event loop."""
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
        account_routes,
        chatbot_routes,
        knowledge_routes,
        session_routes,
        message_routes,
        feedback_routes,
        visitor_routes,
        billing_routes,
        health_routes,
    ):
        app.include_router(module.router)
    record_permissions(app)
    install_documentation(app)
    app.router.default = ChatPage(services.page_dir)
    # The last one added is the outermost.
    app.add_middleware(BodyLimit, limit=services.settings.max_body_bytes, streamed=("/knowledgebase/",))
    app.add_middleware(SocketDoor, services=services)
    app.add_middleware(RequestContext, metrics=services.metrics)
    return app
