"""The AI search's calls and its network: asked through the bastion, and kept out of the tunnel."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from scene import Scene
from upstream import MODEL

from lib.edge import searching
from lib.edge.clients import Way
from lib.edge.searching import Asked
from lib.edge.stage import CA_FILE

CONTAINER = """
set -e
ip netns add container
ip link add inf-search type bridge
ip addr add 172.30.0.1/24 dev inf-search
ip link set inf-search up
ip link add port type veth peer name eth0 netns container
ip link set port master inf-search up
ip -n container addr add 172.30.0.2/24 dev eth0
ip -n container link set eth0 up
ip -n container link set lo up
ip -n container route add default via 172.30.0.1
sysctl -qw net.ipv4.ip_forward=1
nft add table ip docker
nft 'add chain ip docker post { type nat hook postrouting priority srcnat; }'
nft add rule ip docker post ip saddr 172.30.0.0/24 oifname eth0 masquerade
nft 'add chain ip docker pre { type nat hook prerouting priority dstnat; }'
nft add rule ip docker pre ip daddr 203.0.113.10 tcp dport 3000 dnat to 172.30.0.2:3000
"""
AWAY = "ip netns del container; ip link del inf-search; nft delete table ip docker; sysctl -qw net.ipv4.ip_forward=0"


class Handler(BaseHTTPRequestHandler):
    """Answers as vLLM would, with or without a parser for tools."""

    server: "Server"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        if body.get("tools") and not self.server.tools:
            message = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
            self.send(400, {"error": {"message": message, "type": "BadRequestError", "param": None, "code": 400}})
        elif self.path.endswith("/embeddings"):
            vectors = [{"object": "embedding", "index": n, "embedding": [0.1, 0.2]} for n in range(len(body["input"]))]
            self.send(200, {"object": "list", "model": "m", "data": vectors, "usage": {}})
        elif body.get("stream"):
            delta = {"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}
            piece = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [delta]}
            self.raw(200, "text/event-stream", f"data: {json.dumps(piece)}\n\ndata: [DONE]\n\n")
        else:
            choice = {"index": 0, "message": {"role": "assistant", "content": self.server.text}}
            finished = {**choice, "finish_reason": self.server.finish}
            self.send(200, {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [finished]})

    def send(self, status: int, body: object) -> None:
        self.raw(status, "application/json", json.dumps(body))

    def raw(self, status: int, kind: str, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        return


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[dict[str, Any]] = []
        self.tools, self.finish = True, "stop"
        self.text = json.dumps(
            {"classification": dict.fromkeys(searching.CLASSES, False), "standaloneFollowUp": "What?"}
        )
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def asked(self, embeddings: str = "") -> dict[str, Asked]:
        way = Way(f"http://127.0.0.1:{self.server_address[1]}/v1", "key", "m")
        return {one.name: one for one in searching.ask(way, embeddings)}


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        yield made
        made.shutdown()


def test_each_call_is_made_as_vane_makes_it(server: Server) -> None:
    found = server.asked("e")
    assert {name: one.good for name, one in found.items()} == dict.fromkeys(
        ("classify", "research", "write", "embed"), True
    )
    classify, research, write, embed = server.bodies
    assert classify["response_format"]["json_schema"]["strict"] is True
    assert classify["temperature"] == write["temperature"] == 1.0
    assert [tool["function"]["name"] for tool in research["tools"]] == ["web_search", "done"]
    assert research["stream"] is write["stream"] is True
    assert len(embed["input"]) == 2
    assert "max_tokens" not in classify, "Vane bounds by max_completion_tokens"


@pytest.mark.parametrize(
    ("text", "finish", "good"),
    [
        ("{", "stop", False),
        ('{"classification": {}}', "stop", False),
        ('{"classification": {}, "standaloneFollowUp": "a', "length", True),
        ("I think that", "length", False),
    ],
)
def test_an_answer_that_breaks_the_schema_is_red(server: Server, text: str, finish: str, good: bool) -> None:
    server.text, server.finish = text, finish
    assert server.asked()["classify"].good is good


def test_a_model_without_tools_is_told_apart_from_a_way_that_is_shut(server: Server) -> None:
    server.tools = False
    research = server.asked()["research"]
    assert searching.judge(research).status == "skip"
    assert searching.judge(Asked("research", False, "status 401: x", "no key")).status == "fail"
    assert searching.judge(Asked("classify", False, "", searching.NO_PARSER)).status == "fail"
    assert searching.judge(Asked("write", True, "3 pieces")).status == "pass"


@pytest.mark.lab
def test_from_the_vps_through_the_bastion(scene: Scene) -> None:
    found = {check.name: check for check in searching.checks(scene.stage, scene.held.key, MODEL)}
    assert found["bastion.search.write"].status == "pass", found
    received = [body for path, _, _, body in scene.upstream.received if b"web_search" in body and path]
    assert received, "the tools arrived behind the tunnel"
    shut = list(searching.checks(scene.stage, "rb_aaaaaaaa_" + "A" * 43, MODEL))
    assert {check.status for check in shut} == {"fail"}


@pytest.mark.lab
def test_its_containers_reach_the_internet_and_the_bastion_and_never_the_tunnel(scene: Scene) -> None:
    stage = scene.stage
    gate, home = stage.gate, stage.bastion.homes[0]
    gate.run(["sh", "-c", CONTAINER])
    served = stage.client.spawn(["/usr/bin/python3", "-m", "http.server", "8000", "--bind", "203.0.113.50"])
    vane = gate.spawn(["ip", "netns", "exec", "container", "/usr/bin/python3", "-m", "http.server", "3000"])
    try:
        gate.write(CA_FILE, stage.client.path(CA_FILE).read_text())
        here = f"{stage.bastion.hostname}:443:172.30.0.1"
        asked = [f"https://{stage.bastion.hostname}/v1/models", "--cacert", CA_FILE, "--resolve", here]
        assert fetched(scene, *asked) == "401", "no key; but asked"
        for _ in range(50):
            if fetched(scene, "http://203.0.113.50:8000/") == "200":
                break
        assert fetched(scene, "http://203.0.113.50:8000/") == "200"
        assert fetched(scene, f"http://{home.tunnel}:{stage.bastion.api_port}/v1/models") == "000"
        # Published past the input chain, as Docker does: still shut from the internet.
        argv = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "2", "http://203.0.113.10:3000/"]
        assert stage.client.run(argv, check=False).stdout == "000"
        gate.run(["nft", "add rule inet inference forward iifname eth0 accept"])
        assert stage.client.run(argv, check=False).stdout == "200", "it was the firewall that shut it"
        gate.run(["nft", "add rule inet inference forward oifname wg0 accept"])
        gate.run(["nft", "add rule ip docker post oifname wg0 masquerade"])
        assert fetched(scene, f"http://{home.tunnel}:{stage.bastion.api_port}/v1/models") == "200"
    finally:
        served.terminate()
        gate.run(["sh", "-c", "pkill -f '^/usr/bin/python3 -m http.server'"], check=False)
        stage.client.run(["sh", "-c", "pkill -f '^/usr/bin/python3 -m http.server'"], check=False)
        vane.wait(10)
        served.wait(10)
        gate.run(["sh", "-c", AWAY])
        gate.run(["nft", "-f", "/etc/nftables.conf"])


def fetched(scene: Scene, *words: str) -> str:
    argv = ["ip", "netns", "exec", "container", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}"]
    return scene.stage.gate.run([*argv, "--max-time", "3", *words], check=False).stdout
