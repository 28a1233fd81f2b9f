"""The Serve application graph: the only place where deployments get their sizes and meet each other."""

from typing import Any

from ray import serve

from actors.serve_ports import APPLICATION
from cluster.keeper import Keeper
from configs.engine_environment import engine_environment
from configs.settings import Settings, without_master_keys
from configs.sizing import embedder_deployment, engine_deployment, load_sizing
from configs.tables import load_models
from deployments.gateway.gateway import Gateway
from deployments.llm.catalog import needs_no_network, usable_engines
from deployments.llm.engine_deployment import LlmEngine
from deployments.llm.router_deployment import RouterReplica
from deployments.retrieval.embedder import Embedder
from deployments.retrieval.reranker import Reranker
from storage.models.encoder_spec import encoder_spec
from storage.models.reranking import reranking_weights


def build_application(args: dict[str, Any]) -> serve.Application:
    """The graph for a Serve config file: `args` are fields of Settings, the rest comes from the environment.

    The master keys stay there: Ray keeps what it passes to replicas and actors in Redis, beside what they protect.
    """
    return build(without_master_keys(Settings(**args)))


def build(settings: Settings) -> serve.Application:
    """Gateway at the root, everything else behind it. `settings` must name the database, Redis and the secret."""
    sizing = load_sizing(settings.profile)
    table = load_models(settings.models_file)
    keyless = without_master_keys(settings)
    engines = [
        _deployment(
            LlmEngine,
            engine_deployment(name),
            sizing.engine_of(table.engines[name]).options(
                engine_environment(table.engines[name], offline=needs_no_network(table, name))
            ),
        ).bind(keyless, name)
        for name in usable_engines(settings, table)
    ]
    dependencies = [
        _deployment(RouterReplica, "LlmRouter", sizing.router.options()).bind(keyless),
        *(
            _deployment(Embedder, embedder_deployment(model, settings.embedding_model), sizing.embedder.options()).bind(
                encoder_spec(settings.with_embedding_model(model))
            )
            for model in settings.offered_embedding_models
        ),
        _deployment(Keeper, "Keeper", sizing.keeper.options()).bind(settings),
        *engines,
    ]
    if settings.reranker_model:
        weights = reranking_weights(settings.reranker_model)
        dependencies.append(_deployment(Reranker, "Reranker", sizing.reranker.options()).bind(weights))
    gateway: serve.Application = _deployment(Gateway, "Gateway", sizing.gateway.options()).bind(settings, dependencies)
    return gateway


def deploy(settings: Settings) -> None:
    """Deploy to the cluster that this process is connected to, and wait until every deployment is healthy."""
    serve.start(http_options={"host": "0.0.0.0", "port": settings.port}, proxy_location="HeadOnly")  # noqa: S104
    serve.run(build(settings), name=APPLICATION, route_prefix="/", blocking=False)


def _deployment(kind: type[Any], name: str, options: dict[str, Any]) -> Any:
    return serve.deployment(name=name, **options)(kind)
