"""Stands in for vLLM where only the starter is tested: prints a recorded log, then serves, hangs or dies.

`stand_in.py [log=FILE] [serve|hang|exit=N|kill] [stubborn] -- flags of the engine`
"""

import http.server
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ANSWERS = {
    "/health": "",
    "/version": json.dumps({"version": "0.0-stand-in"}),
    "/openapi.json": json.dumps({"paths": {"/health": {}, "/v1/models": {}}}),
    "/metrics": 'vllm:kv_cache_usage_perc{engine="0"} 0.0\n'
    'vllm:cache_config_info{block_size="128",kv_cache_size_tokens="4711",num_gpu_blocks="364"} 1.0\n',
}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        answer = ANSWERS.get(self.path)
        self.send_response(404 if answer is None else 200)
        self.end_headers()
        self.wfile.write((answer or "").encode())

    def log_message(self, *_: object) -> None:
        return


def main(words: list[str]) -> None:
    port = int(words[words.index("--port") + 1])
    told = dict(word.partition("=")[::2] for word in words if not word.startswith("--"))
    if "log" in told:
        sys.stdout.write(Path(told["log"]).read_text())
        sys.stdout.flush()
    if "stubborn" in told:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen([sys.executable, "-c", "import os, time; os.setsid(); time.sleep(60)"])
    if "exit" in told:
        sys.exit(int(told["exit"]))
    if "kill" in told:
        os.kill(os.getpid(), signal.SIGKILL)
    if "hang" in told:
        time.sleep(60)
    http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
