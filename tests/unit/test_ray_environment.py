"""What the platform tells Ray: the line that makes HAProxy name its caller lands where HAProxy reads it."""

from ray.serve._private.haproxy_templates import HAPROXY_CONFIG_TEMPLATE

from configs.ray_environment import ray_environment


def test_haproxy_adds_the_address_of_its_caller() -> None:
    value = ray_environment()["RAY_SERVE_HAPROXY_RETRY_ON"]
    defaults = HAPROXY_CONFIG_TEMPLATE.partition("\ndefaults\n")[2].partition("\nfrontend ")[0]
    assert defaults.count("{{ config.retry_on }}") == 1
    lines = defaults.replace("{{ config.retry_on }}", value).splitlines()
    assert "    retry-on conn-failure" in lines
    assert "    option forwardfor" in lines
    assert HAPROXY_CONFIG_TEMPLATE.count("{{ config.retry_on }}") == 1
