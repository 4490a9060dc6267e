"""`softprompt up` with real processes: it answers, heals, refuses a second one, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from softprompt.config import StudioSettings
from softprompt.errors import ParameterInvalid
from softprompt.supervisor.home import is_running
from softprompt.supervisor.plan import Plan, parts
from supervisor.conftest import Up, alive, descendants, wait_for

PARTS = ("web 1", "worker 1", "serving")


def get(address: str, path: str = "/healthz", cert: str | None = None) -> httpx.Response:
    context = ssl.create_default_context(cafile=cert)
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # as newer Pythons do by themselves
    with httpx.Client(verify=context, trust_env=False, timeout=30) as client:
        return client.get(f"{address}{path}")


def cli(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "softprompt", *words], capture_output=True, text=True, check=False)


def test_plain_http_and_tls_serve_the_same_studio(studio: Up) -> None:
    state = studio.state
    for address, cert in ((state["web"], None), (state["tls"], state["certificate"])):
        assert get(address, cert=cert).json()["status"] == "ok"
        ready = get(address, "/readyz", cert)
        assert (ready.status_code, ready.json()["ready"]) == (200, True)


def test_the_certificate_is_not_taken_by_those_who_do_not_know_it(studio: Up) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        get(studio.state["tls"])


def test_it_prints_a_link_and_both_addresses(studio: Up) -> None:
    state = studio.state
    assert re.search(rf"{re.escape(state['web'])}/sign-in\?link=[A-Za-z0-9_-]{{40,}}", studio.text)
    assert f"With TLS, for ibm-watsonx-ai:    {state['tls']}" in studio.text


def test_its_processes_leave_cores_to_each_other(studio: Up) -> None:
    """Threads of matrix products do not wait awake for long where several processes share the cores."""
    for name in ("worker 1", "serving"):
        found = Path(f"/proc/{studio.part(name)['pid']}/environ").read_bytes().split(b"\0")
        assert b"GOMP_SPINCOUNT=3000" in found or any(each.startswith(b"OMP_WAIT_POLICY=") for each in found)


def test_a_second_one_on_the_same_folder_is_refused(studio: Up, up: Callable[..., Up]) -> None:
    second = up(data=studio.data)
    assert second.process.wait(90) == 1
    second.stop()
    assert f"A studio runs on {studio.data} already (process {studio.process.pid})" in second.text
    assert "name another folder: --data-dir DIR" in second.text


@pytest.mark.parametrize("name", PARTS)
def test_a_killed_process_comes_back(studio: Up, name: str) -> None:
    before = studio.part(name)
    os.kill(before["pid"], signal.SIGKILL)
    wait_for(f"another {name}", lambda: studio.part(name).get("pid") not in (before["pid"], None))
    wait_for(f"{name} runs", lambda: studio.part(name)["state"] == "running")
    assert studio.part(name)["restarts"] == before["restarts"] + 1
    assert f"{name} was killed (signal 9); it starts again" in studio.text
    assert get(studio.state["web"]).status_code == 200


def test_no_connection_is_refused_while_the_only_web_process_is_dead(light: Up) -> None:
    os.kill(light.part("web 1")["pid"], signal.SIGKILL)
    assert get(light.state["web"]).status_code == 200  # it waited in the parent's socket


def test_whoever_follows_the_link_at_once_finds_a_serving_host_on_its_way(up: Callable[..., Up]) -> None:
    studio = up("--workers", "0")
    wait_for("the link", lambda: "/sign-in?link=" in studio.text)
    assert studio.part("serving")["state"] in ("starting", "running")


def test_asked_to_stop_it_ends_everything(up: Callable[..., Up]) -> None:
    studio = up("--no-serving").until_running()
    below = wait_for("the worker's own process", lambda: len(found := descendants(studio.process.pid)) > 2 and found)
    assert studio.stop(signal.SIGINT) == 0, studio.text
    wait_for("all are gone", lambda: not any(map(alive, below)))
    assert studio.lines[-1] == "Stopped."
    assert "Killed" not in studio.text
    assert {each["state"] for each in studio.state["processes"]} == {"stopped"}


def test_nothing_outlives_a_killed_parent(up: Callable[..., Up]) -> None:
    studio = up("--no-serving").until_running()
    below = wait_for("the worker's own process", lambda: len(found := descendants(studio.process.pid)) > 2 and found)
    studio.stop(signal.SIGKILL)
    wait_for("all are gone", lambda: not any(map(alive, below)), 30)
    assert not is_running(studio.data)  # the lock went with the parent


def test_a_port_in_use_is_refused_with_who_has_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = cli("up", "--data-dir", str(tmp_path), "--port", str(port), "--tls-port", "0")
    assert done.returncode == 1
    assert f"--port: port {port} on 127.0.0.1 is in use by process {os.getpid()} (" in done.stderr
    assert "Stop it, or choose another port: --port N." in done.stderr


def test_wrong_options_are_named_together(tmp_path: Path) -> None:
    done = cli("up", "--data-dir", str(tmp_path), "--workers", "99", "--web-processes", "0", "--tls-port", "8440")
    assert done.returncode == 2
    for part in ("--workers: 99 is not between 0 and 64", "--web-processes: 0 is not between 1", "--tls-port: 8440"):
        assert part in done.stderr


@pytest.mark.parametrize("address", ["notaurl", "", "localhost:8000", "http://", "http://host:no", "ftp://host"])
def test_an_address_of_vllm_that_is_none_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(ParameterInvalid, match=re.escape(f"--vllm: {address!r} is no address of a server; write http")):
        Plan(settings=StudioSettings.of(tmp_path), vllm=address)


@pytest.mark.parametrize("command", ["up", "serve"])
def test_a_wrong_address_of_vllm_ends_it_at_once(tmp_path: Path, command: str) -> None:
    done = cli(command, "--data-dir", str(tmp_path / "studio"), "--vllm", "notaurl")
    assert done.returncode == 2
    assert "--vllm: 'notaurl' is no address of a server; write http://HOST:PORT." in done.stderr
    assert not (tmp_path / "studio").exists()


def test_devices_are_dealt_out_and_the_first_one_serves(tmp_path: Path) -> None:
    plan = Plan(settings=StudioSettings.of(tmp_path), workers=3, device="cuda:0,cuda:1")
    words = [part.words for part in parts(plan, 3, 4, tmp_path / "cert", tmp_path / "key") if part.kind != "web"]
    assert [each[:1] + each[-1:] for each in words] == [
        ("serve", "cuda:0"),
        ("worker", "cuda:0"),
        ("worker", "cuda:1"),
        ("worker", "cuda:0"),
    ]


def test_the_parent_loads_neither_torch_nor_the_web() -> None:
    code = (
        "import softprompt.supervisor.run, softprompt.supervisor.status, softprompt.supervisor.doctor, sys;"
        "print([name for name in ('torch', 'transformers', 'fastapi', 'uvicorn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_others_are_warned_of_plain_http(light: Up) -> None:
    assert "Warning: on 0.0.0.0 others can reach port" in light.text
    assert light.state["web"].startswith("http://localhost:")


def test_samples_are_brought_in(light: Up) -> None:
    assert "Sample data in the sandbox: Complaints test (240 rows), Complaints v2 (200 rows)" in light.text


def test_status_tells_what_runs_where(studio: Up) -> None:
    done = cli("status", "--json", "--data-dir", str(studio.data))
    found = json.loads(done.stdout)
    state = studio.state
    assert done.returncode == 0
    assert (found["running"], found["pid"]) == (True, studio.process.pid)
    for name in ("web", "tls"):
        assert (found[name]["state"], found[name]["address"]) == ("running", state[name])
    assert len(found["web"]["processes"]) == 2
    assert found["serving"]["address"].startswith("http://127.0.0.1:")
    assert found["workers"][0]["state"] == "running"
    assert (found["queue"], found["deployments"]) == ({"queued": 0, "running": 0}, 0)
    words = cli("status", "--data-dir", str(studio.data)).stdout
    assert f"web        running  {state['web']}" in words


def test_a_key_made_while_it_runs_opens_it(studio: Up) -> None:
    key = json.loads(cli("keys", "create", "live", "--json", "--data-dir", str(studio.data)).stdout)["key"]
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(headers=headers, trust_env=False, timeout=30) as client:
        assert client.get(f"{studio.state['web']}/api/projects").status_code == 200


def test_doctor_knows_that_the_ports_are_ours(studio: Up) -> None:
    done = cli("doctor", "--json", "--data-dir", str(studio.data))
    found = {each["check"]: each["words"] for each in json.loads(done.stdout)["checks"]}
    assert done.returncode == 0, found
    assert found["port of tls"] == f"{studio.state['tls']} answers, ours"
    assert found["processes"] == "4 of the studio's processes live"


def test_a_frozen_serving_host_is_noticed(studio: Up) -> None:
    def part() -> dict[str, Any]:
        return dict(json.loads(cli("status", "--json", "--data-dir", str(studio.data)).stdout)["serving"])

    pid = studio.part("serving")["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        assert part()["state"] == "not answering"
        found = json.loads(cli("doctor", "--json", "--data-dir", str(studio.data)).stdout)["checks"]
        (finding,) = [each for each in found if each["check"] == "serving host"]
        assert f"process {pid} lives but does not answer" in finding["words"]
        assert f"kill -9 {pid}" in finding["words"]
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for("it answers again", lambda: part()["state"] == "running")


def test_web_processes_count_together_and_with_the_serving_host(studio: Up) -> None:
    def requests() -> int:
        page = get(studio.state["web"], "/metrics").text
        assert "softprompt_queue_depth 0.0" in page
        assert "# HELP softprompt_serving_batch_rows" in page
        return sum(
            int(float(line.split()[-1])) for line in page.splitlines() if "/healthz" in line and "_total{" in line
        )

    before = requests()
    for _ in range(6):
        get(studio.state["web"])
    assert requests() == before + 6
