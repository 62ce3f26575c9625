"""The load generator's own process: vLLM's benchmark client, imported once, driven through lists of points.

Run as `python -m lib.engine.bench.load_client FIFO`. Each line that comes through the named pipe is the path of a plan:
JSON, a list of `{"label", "arguments"}`, the arguments being those of `vllm bench serve`. After each point one line is
printed: `MARK` and JSON, `{"label", "seconds", "cpu_seconds"}` or, when the point failed, `{"label", "error"}`; after
each plan, `MARK` and `{"done"}`. Everything else is vLLM's own.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

# Begins the lines that are this program's and not vLLM's.
MARK = "@load "


def main(orders: Path) -> None:
    """Run every plan that is ordered, until the pipe is closed."""
    from vllm.benchmarks import serve
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    _read_without_pandas()
    serve.get_tokenizer = cache(serve.get_tokenizer)  # 0.3 s a point, as long as a short load
    parser = FlexibleArgumentParser()
    serve.add_cli_args(parser)
    with orders.open() as pipe:
        for line in pipe:
            for point in json.loads(Path(line.strip()).read_text()):
                _tell(_run(point["label"], lambda words: serve.main(parser.parse_args(words)), point["arguments"]))
            _tell({"done": line.strip()})


def _read_without_pandas() -> None:
    """Let `--dataset-name custom` read its JSON lines without pandas, which vLLM takes and nothing else here needs."""
    from vllm.benchmarks.datasets import datasets

    datasets.CustomDataset.load_data = load_lines


def load_lines(dataset: Any) -> None:
    """Fill vLLM's `CustomDataset` with the lines of its file, in their order, as `--disable-shuffle` asks."""
    dataset.data = [json.loads(line) for line in Path(dataset.dataset_path).read_text().splitlines()]


def _run(label: str, bench: Callable[[list[str]], object], arguments: list[str]) -> dict[str, object]:
    started, used = time.monotonic(), time.process_time()
    try:
        bench(arguments)
    except (Exception, SystemExit) as error:  # whatever it is, the next point shall still run
        return {"label": label, "error": f"{type(error).__name__}: {error}"}
    return {"label": label, "seconds": time.monotonic() - started, "cpu_seconds": time.process_time() - used}


def _tell(entry: dict[str, object]) -> None:
    sys.stdout.write(f"\n{MARK}{json.dumps(entry)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
