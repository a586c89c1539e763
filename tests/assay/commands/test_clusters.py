"""Options of `assay run` that name a cluster: what does not fit together is said in one line."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path
from typing import Any

import pytest
from assay.commands.clusters import check_cluster, ray_options
from assay.engine.planning import RayOptions, RunRequest, by_device
from assay.engine.pool import visible_gpus
from assay.errors import AssayError, WorkerError
from assay.plugins.registry import find_method, task_entries


def request(**changes: Any) -> RunRequest:
    tasks = [task_entries()["beale"]]
    return RunRequest(methods=["sgd"], tasks=tasks, results=Path("unused"), **changes)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("local", None, None, "auto"), None),
        (("ray", None, None, "auto"), RayOptions(None, 0.0)),
        (("ray", "auto", None, "gpu"), RayOptions("auto", 1.0)),
        (("ray", "host:6379", 0.5, "auto"), RayOptions("host:6379", 0.5)),
        (("ray", "[::1]:6379", None, "auto"), RayOptions("[::1]:6379", 0.0)),
        (("ray", None, 0.0, "cpu"), RayOptions(None, 0.0)),
    ],
)
def test_what_the_options_mean(given: tuple[Any, ...], expected: RayOptions | None) -> None:
    assert ray_options(*given) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("rya", None, None, "auto"), "Did you mean ray?"),
        (("local", "host:1", None, "auto"), "--address was given without --executor ray"),
        (("local", None, 1.0, "gpu"), "--gpus-per-run was given without --executor ray"),
        (("ray", "host", None, "auto"), "--address host: expected auto or host:port"),
        (("ray", "ray://host:10001", None, "auto"), "expected auto or host:port"),
        (("ray", None, 2.0, "gpu"), "at most 1"),
        (("ray", None, 0.5, "cpu"), "none on CPUs"),
        (("ray", None, 0.0, "gpu"), "more than 0"),
    ],
)
def test_what_does_not_fit_together_is_one_line(given: tuple[Any, ...], said: str) -> None:
    with pytest.raises(AssayError, match=said) as caught:
        ray_options(*given)
    assert len(str(caught.value).splitlines()) == 1


def test_a_cluster_decides_by_its_own_gpus_and_not_by_those_here() -> None:
    pairs = [(task_entries()["cifar10_resnet20"], find_method("sgd"))]
    devices = [
        compute.accelerator
        for gpus in (0.0, 0.5)
        for compute, _, _ in by_device(request(ray=RayOptions("auto", gpus)), pairs)
    ]
    assert devices == ["cpu", "gpu"]


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(AssayError, match=r"pip install 'trainassay\[ray\]'") as caught:
        check_cluster(RayOptions("127.0.0.1:1"))
    assert len(str(caught.value).splitlines()) == 1


@pytest.fixture
def with_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Ray seem to be installed."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "localhost:99999"])
@pytest.mark.usefixtures("with_ray")
def test_an_address_where_nothing_answers_is_one_line(address: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # taken, and nobody listens
        address = address.format(port=unused.getsockname()[1])
        with pytest.raises(WorkerError, match=f"^no Ray at {address}: .*`ray start") as caught:
            check_cluster(RayOptions(address))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.usefixtures("with_ray")
def test_where_something_answers_ray_is_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        check_cluster(RayOptions(f"127.0.0.1:{listening.getsockname()[1]}"))
    for address in (None, "auto"):
        check_cluster(RayOptions(address))


def test_a_worker_gets_a_gpu_that_its_supervisor_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus(2) == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    assert visible_gpus(8) == ["3", "5"]
