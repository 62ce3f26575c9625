"""What the loads of several servers say together: speed-up, break-even, the cost of a step, and the setting."""

import math
from collections.abc import Iterator, Mapping, Sequence

from lib.core.evidence import Check, Decision, Measurement
from lib.engine.bench.results import Result
from lib.engine.speculate import speedup

INTERVAL = "95 % interval on the logarithm, the wider of paired Student t and bootstrap"
RATIO = (
    "ratio of decoding speed (1 / TPOT) to the plain server's, geometric mean of {n} pairs: the same prompt in the "
    "same repeat; "
)
TOGETHER, APART = "servers measured in turn; ", "one server measured after the other; "
CROSSING = (
    "where the speed-up crosses 1, on a line over the logarithms between two measured points; "
    "at least: it paid at every one; below: not even at the smallest"
)
STEP = (
    "time of a step with speculation (TPOT × tokens of a step) over a step without (TPOT), means over the workloads; "
    "the speed-up of decoding is the tokens of a step over this"
)
CITED = ("spec.speedup", "spec.break_even_concurrency", "spec.acceptance_length", "spec.same_text")


def pairs(plain: Sequence[Result], other: Sequence[Result]) -> Iterator[tuple[Result, Result]]:
    """Return each point of the plain server with the same point of the other one."""
    by_point = {result.point: result for result in plain}
    return ((by_point[result.point], result) for result in other if result.point in by_point)


def speedup_of(label: str, plain: Result, other: Result, *, in_turn: bool) -> Measurement:
    """Return `spec.speedup` of one point.

    Parameters
    ----------
    label : str
        Name of the configuration.
    in_turn : bool
        Whether the repeats went round the servers; the method says so.
    """
    ratio = speedup.speedup(plain, other)
    method = RATIO.format(n=ratio.n) + (TOGETHER if in_turn else APART) + INTERVAL
    return Measurement(
        name="spec.speedup",
        title="Speed-up of decoding",
        value=round(ratio.ratio, 3),
        unit="×",
        n=ratio.n,
        interval=(round(ratio.low, 3), round(ratio.high, 3)),
        method=method,
        conditions={**other.point.conditions, "configuration": label},
    )


def break_evens(label: str, found: Sequence[Measurement]) -> list[Measurement]:
    """Return `spec.break_even_concurrency` of a configuration on each workload, from its speed-ups."""
    measured = []
    for workload, curve in curves(found, label).items():
        where = speedup.break_even([(concurrency, m.value) for concurrency, m in curve.items()])
        measured.append(
            Measurement(
                name="spec.break_even_concurrency",
                title="Requests at a time from which speculation does not pay",
                value=round(where.value, 1),
                unit="requests",
                n=len(curve),
                method=CROSSING,
                conditions={"configuration": label, "workload": workload, "bound": where.bound},
            )
        )
    return measured


def costs(label: str, plain: Sequence[Result], other: Sequence[Result]) -> list[Measurement]:
    """Return `spec.break_even_length` of a configuration at each concurrency; none where nothing was drafted."""
    measured = []
    both = list(pairs(plain, other))
    for concurrency in dict.fromkeys(b.point.concurrency for _, b in both):
        here = [(a, b) for a, b in both if b.point.concurrency == concurrency]
        cost = speedup.cost(here)
        if cost is None:
            continue
        measured.append(
            Measurement(
                name="spec.break_even_length",
                title="Tokens that a step must give so that speculation costs nothing",
                value=round(cost.break_even, 3),
                unit="tokens",
                n=sum(len(b.runs) for _, b in here),
                method=STEP,
                conditions={"configuration": label, "concurrency": concurrency},
            )
        )
    return measured


def curves(found: Sequence[Measurement], label: str) -> dict[str, dict[int, Measurement]]:
    """Return the speed-ups of a configuration: workload to concurrency, rising, to measurement."""
    mine = [m for m in found if m.name == "spec.speedup" and m.conditions["configuration"] == label]
    mine.sort(key=lambda m: int(str(m.conditions["concurrency"])))
    by_workload: dict[str, dict[int, Measurement]] = {}
    for m in mine:
        by_workload.setdefault(str(m.conditions["workload"]), {})[int(str(m.conditions["concurrency"]))] = m
    return by_workload


def labels(found: Sequence[Measurement]) -> list[str]:
    """Return the names of the configurations that have a speed-up, in the order in which they were recorded."""
    return list(dict.fromkeys(str(m.conditions["configuration"]) for m in found if m.name == "spec.speedup"))


def completed(results: Sequence[Result], words: str = "") -> Check:
    """Return `spec.completed`: every request was answered, and none with nothing.

    Parameters
    ----------
    results : sequence of Result
        Of one server or several.
    words : str
        The last words of an engine that ended under the load.
    """
    runs = [run for result in results for run in result.runs]
    answered, failed = sum(int(run["completed"]) for run in runs), sum(int(run.get("failed", 0)) for run in runs)
    empty = sum(not text for run in runs for text in run.get("generated_texts") or [])
    return Check(
        name="spec.completed",
        title="Every request was answered",
        status="fail" if failed or empty or not answered else "pass",
        expected=f"{answered + failed} requests answered, none failed, none empty",
        observed=f"{answered} answered, {failed} failed, {empty} empty"
        + (f"; the engine ended: {words}" * bool(words)),
        fix="read the engines' logs in the raw files",
    )


def decision(
    found: Sequence[Measurement], tokens: Mapping[str, int], sequences: int | None, *, random: bool
) -> Decision:
    """Return `spec.setting`: which workload gets which configuration, and from how many requests on it is off.

    A configuration is taken where its speed-up's interval lies above 1 at the smallest measured concurrency.

    Parameters
    ----------
    found : sequence of Measurement
        `spec.speedup` and `spec.break_even_length`.
    tokens : mapping of str to int
        Draft tokens of each configuration, 0 where its draft decides.
    sequences : int or None
        The server's `max_num_seqs`.
    random : bool
        With random weights only the cost is known; the decision then names the acceptance that pays.
    """
    if random:
        return _cost_decision(found)
    by_label = {label: curves(found, label) for label in labels(found)}
    names = dict.fromkeys(workload for by_workload in by_label.values() for workload in by_workload)
    choices, reasons, others = [], [], []
    for workload in names:
        here = {label: by_workload[workload] for label, by_workload in by_label.items() if workload in by_workload}
        label = _best(here)
        others += [_told(other, workload, curve) for other, curve in here.items() if other != label]
        if label is None:
            choices.append(f"{workload}: none")
            reasons.append(f"On {workload} no configuration was shown to be faster.")
            continue
        limit = _off_from(here[label])
        until = f"off from {limit} requests at a time" if limit else f"at every measured load, up to {max(here[label])}"
        choices.append(f"{workload}: {label}, {until}")
        reasons.append(f"{_told(label, workload, here[label])}.{_schedule(tokens.get(label, 0), limit, sequences)}")
    return Decision(
        name="spec.setting",
        choice="; ".join(choices),
        reason=" ".join(reasons),
        evidence=[name for name in CITED if name == "spec.same_text" or any(m.name == name for m in found)],
        alternatives=others,
    )


def _cost_decision(found: Sequence[Measurement]) -> Decision:
    costs_found = [m for m in found if m.name == "spec.break_even_length"]
    told = [
        f"{m.conditions['configuration']} at {m.conditions['concurrency']}: {m.value:.2f} tokens" for m in costs_found
    ]
    return Decision(
        name="spec.setting",
        choice="Not decided: random weights have a cost and no acceptance of their own",
        reason="Speculation pays where a step gives more tokens than this on average, at so many requests at a time: "
        + ("; ".join(told) or "nothing was drafted")
        + ". Measure the acceptance with real weights and real text, and compare.",
        evidence=list(dict.fromkeys(m.name for m in found if m.name in ("spec.speedup", "spec.break_even_length"))),
    )


def _best(here: Mapping[str, Mapping[int, Measurement]]) -> str | None:
    """Return the configuration that is fastest where it is shown to pay: at the smallest measured concurrency."""
    first = {label: curve[min(curve)] for label, curve in here.items()}
    paying = {label: m.value for label, m in first.items() if m.interval and m.interval[0] > 1}
    return max(paying, key=lambda label: paying[label]) if paying else None


def _off_from(curve: Mapping[int, Measurement]) -> int | None:
    """Return the smallest whole number of requests at which speculation should be off; None if it always paid."""
    where = speedup.break_even([(concurrency, m.value) for concurrency, m in curve.items()])
    return math.ceil(where.value) if where.bound == "crossing" else None


def _schedule(tokens: int, limit: int | None, sequences: int | None) -> str:
    if not tokens or not limit or limit < 2:
        return ""
    ranges = speedup.schedule(tokens, limit, max(sequences or 0, limit))
    return f" vLLM switches it off by itself with num_speculative_tokens_per_batch_size {ranges}."


def _told(label: str, workload: str, curve: Mapping[int, Measurement]) -> str:
    parts = [
        f"{m.value:.2f} × at {concurrency}" + (f" ({m.interval[0]:.2f} … {m.interval[1]:.2f})" if m.interval else "")
        for concurrency, m in curve.items()
    ]
    return f"{label} on {workload}: {', '.join(parts)}"
