"""Books most of the head's CPUs until its input is closed; says `ready` once the cluster has two nodes.

`python -m tests.faults.node_fill ADDRESS`, with the cluster's flags in the environment.
"""

import logging
import sys
import time
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

BOOKED = 2.5
WAIT_SECONDS = 50.0


class Filler:
    def ready(self) -> bool:
        return True


def main(address: str) -> None:
    ray.init(address=address, namespace="faults", log_to_driver=False, logging_level=logging.ERROR)
    deadline = time.monotonic() + WAIT_SECONDS
    while len(nodes := [node for node in ray.nodes() if node["Alive"]]) < 2:  # type: ignore[no-untyped-call]
        if time.monotonic() > deadline:
            raise TimeoutError("the cluster has one node only")
        time.sleep(0.1)
    head = next(node for node in nodes if "node:__internal_head__" in node["Resources"])
    place = NodeAffinitySchedulingStrategy(head["NodeID"], soft=False)
    remote: Any = ray.remote(Filler)
    filler = remote.options(num_cpus=BOOKED, scheduling_strategy=place).remote()
    ray.get(filler.ready.remote())
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
