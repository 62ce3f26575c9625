"""The load generator's own process: vLLM's benchmark client, imported once, driven through a list of points.

Run as `python -m lib.engine.bench.load_client PLAN`. The plan is JSON: a list of `{"label", "arguments"}`, the
arguments being those of `vllm bench serve`. After each point one line is printed: `MARK` and JSON, `{"label",
"seconds"}` or, when the point failed, `{"label", "error"}`. Everything else is vLLM's own.
"""

import json
import sys
import time
from pathlib import Path

# Begins the lines that are this program's and not vLLM's.
MARK = "@load "


def main(plan: Path) -> None:
    """Run every point of the plan."""
    from vllm.benchmarks import serve
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = FlexibleArgumentParser()
    serve.add_cli_args(parser)
    for point in json.loads(plan.read_text()):
        started = time.monotonic()
        told = {"label": point["label"]}
        try:
            serve.main(parser.parse_args(point["arguments"]))
            told["seconds"] = round(time.monotonic() - started, 3)
        except (Exception, SystemExit) as error:  # whatever it is, the next point shall still run
            told["error"] = f"{type(error).__name__}: {error}"
        sys.stdout.write(f"\n{MARK}{json.dumps(told)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
