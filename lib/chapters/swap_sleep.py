"""Chapter 08: sleeping and waking instead of restarting, where the hardware can; and what each way takes in the end."""

import time
from collections.abc import Sequence

import plotly.graph_objects as go
import psutil

from lib.chapters import gate
from lib.core import display
from lib.core.chapter import Chapter
from lib.core.errors import RunbookError
from lib.core.evidence import Check, Decision, Measurement, Scalar
from lib.engine.models import catalogue, planner, sizes
from lib.engine.models.sizes import GIB
from lib.engine.serve import client, conformance
from lib.engine.serve.server import Server
from lib.engine.swap import sleep, ways

QUESTION = "Write one sentence about the sea."
TOKENS = 24
NIGHTS = ("first", "later")  # the first sleep also pins the memory, and takes much longer


def verify_routes(chapter: Chapter, engine: Server | None) -> list[Check]:
    """Check that a server as it is run day and night has no route that puts it to sleep.

    A server that was started to sleep has these routes, on this machine's own address and for this chapter alone; then
    chapter 05's look at the profile's own server is what counts.
    """
    own = engine is not None and "--enable-sleep-mode" not in engine.argv
    if own and engine is not None:
        found = conformance.routes(engine.routes())
        chapter.record(found.model_copy(update={"name": "swap.routes"}), model=engine.model.name)
        return chapter.checks("swap.routes")
    earlier = [record for record in chapter.earlier("serving.routes") if isinstance(record, Check)]
    chapter.record(*(check.model_copy(update={"name": "swap.routes"}) for check in earlier[-1:]))
    return chapter.checks("swap.routes")


def verify(chapter: Chapter) -> list[Check]:
    """Return what sleeping showed, or say why that could not be tried here."""
    if not chapter.checks("swap.sleep"):
        chapter.record(_skip(chapter))
    return chapter.checks("swap.sleep") + chapter.checks("swap.answer")


def nights(chapter: Chapter, engine: Server | None) -> None:
    """Let a server sleep and wake at every level of the profile, if it was started to be able to."""
    if engine is None or "--enable-sleep-mode" not in engine.argv:
        return
    if engine.model.name not in chapter.profile.swap.models:
        return
    random = gate.weights(chapter) == "random"
    for level in chapter.profile.swap.sleep_levels:
        before = _answer(engine)
        try:
            for night in NIGHTS:
                _night(chapter, engine, level, night, reload=level == 2 and not random)
        except RunbookError as error:
            chapter.record(_failed(engine, level, error), artifacts=gate.keep(engine.log), model=engine.model.name)
            return
        chapter.record(_slept(engine, level), model=engine.model.name)
        lost = level == 2 and random
        chapter.record(
            _no_reload(engine) if lost else _same(engine, level, before, _answer(engine)),
            model=engine.model.name,
            weights=gate.weights(chapter),
        )


def _night(chapter: Chapter, engine: Server, level: int, night: str, *, reload: bool) -> None:
    """Sleep, wake and answer once, and record the three times."""
    conditions: dict[str, Scalar] = {"level": level, "model": engine.model.name, "time": night}
    with chapter.engine_time("sleep"):
        falling = sleep.sleep(engine.url, level)
        begun = time.monotonic()
        waking = sleep.wake(engine.url, reload=reload)
        answer = client.stream(engine.url, client.question(engine.model.name, QUESTION, TOKENS))
        first = time.monotonic() - begun - (answer.last_s - answer.first_s)
    if answer.error:
        raise RunbookError(f"no answer after waking: {answer.error}", where="/v1/chat/completions")
    how = "weights read again from their files" if reload else "weights come back from memory"
    how = how if level == 1 or reload else "weights are not restored: random ones have no file"
    told = (
        ("swap.sleep_seconds", "Falling asleep", falling, conditions),
        ("swap.wake_seconds", "Waking", waking, conditions),
        ("swap.first_token_seconds", "From the request to the first token", first, {"way": "sleep", **conditions}),
    )
    for name, title, value, where in told:
        found = Measurement(name=name, title=title, value=round(value, 3), unit="s", method=how, conditions=where)
        chapter.record(found, model=engine.model.name, weights=gate.weights(chapter), command=engine.command)


def table(chapter: Chapter) -> display.Html:
    """Show every model × way with its seconds: measured, derived from another model's rate, or not known."""
    swap, cpu = chapter.profile.swap, chapter.profile.hardware == "cpu"
    models = [catalogue.get(name) for name in swap.models]
    figures = ways.table(
        models, chapter.measurements("swap.first_token_seconds"), chapter.measurements("swap.weights_seconds")
    )
    rows = [
        {
            "Model wanted": figure.model,
            "Way": figure.way,
            "Seconds to its first token": "–" if figure.seconds is None else display.number(round(figure.seconds, 1)),
            "Origin": figure.origin,
            "From": figure.basis,
            "Kept in memory meanwhile, GiB": f"{_kept(figure) / GIB:.1f}",
        }
        for figure in figures
        if not (cpu and figure.way.startswith("sleep"))
    ]
    numeric = ("Seconds to its first token", "Kept in memory meanwhile, GiB")
    title = "What each change takes" + ("; a CPU cannot sleep" if cpu else ", one model awake on the card")
    return display.table(rows, title, numeric)


def memory(chapter: Chapter) -> Check:
    """Record whether the sleeping models have room in this machine's memory (level 1), awake one left out."""
    models = [catalogue.get(name) for name in chapter.profile.swap.models]
    needed, there = planner.sleep_bytes(models), psutil.virtual_memory().total
    fits = needed <= there
    cpu = chapter.profile.hardware == "cpu"
    verdict = Check(
        name="swap.memory",
        title="The sleeping models have room in memory",
        status="skip" if cpu or len(models) < 2 else "pass" if fits else "warn",
        expected=f"{needed / GIB:.1f} GiB for what sleeps at level 1 while one is awake",
        observed="nothing sleeps on a CPU" if cpu else f"{there / GIB:.1f} GiB of memory in this machine",
        fix="sleep at level 2, which keeps nothing, or restart; on a CPU there is no sleep mode",
    )
    return chapter.record(verdict)[0]


def figure(chapter: Chapter) -> display.Figure | display.Html:
    """Draw every measured change as a bar: seconds from the request to the first token."""
    found = chapter.measurements("swap.first_token_seconds")
    if not found:
        return display.Html("<p>No change was measured: see the failed check above.</p>", "nothing was measured")
    labels = [f"{m.conditions['model']}<br>{_named(m)}" for m in found]
    bars = go.Figure(
        go.Bar(
            x=[m.value for m in found],
            y=[f"{label}<br>#{number}" for number, label in enumerate(labels, start=1)],
            orientation="h",
            text=[f"{m.value:.1f} s" for m in found],
            textposition="outside",
        )
    )
    bars.update_layout(
        xaxis_title="seconds to the first token", yaxis_autorange="reversed", height=140 + 62 * len(found), bargap=0.4
    )
    bars.update_xaxes(range=[0, 1.18 * max(m.value for m in found)])
    return display.figure(bars, "From the request for a model that is not served to its first token, in order")


def decide(chapter: Chapter) -> Decision:
    """Choose the way with the least time from request to first token, of those after which the answer was the same.

    A sleep after which the answer was not compared is no candidate: with random weights level 2 wakes at once, since
    it has nothing to read again.
    """
    same = {
        (check.conditions.get("model"), check.conditions.get("level"))
        for check in chapter.checks("swap.answer")
        if check.status == "pass"
    }
    found = [
        m
        for m in chapter.measurements("swap.first_token_seconds")
        if m.conditions.get("way") != "sleep" or (m.conditions.get("model"), m.conditions.get("level")) in same
    ]
    cited = ["swap.first_token_seconds", *_present(chapter, ["swap.cold_seconds", "swap.sleep", "swap.answer"])]
    if not found:
        return Decision(
            name="swap.way",
            choice="Nothing is decided",
            reason="No change of model was measured: no engine started.",
            evidence=_present(chapter, ["serving.start", "swap.sleep"]),
        )
    best = min(found, key=lambda m: m.value)
    worst = max(found, key=lambda m: m.value)
    others = [f"{m.conditions['model']}, {_named(m)}: {m.value:.1f} s" for m in found if m is not best]
    asleep = best.conditions.get("way") == "sleep"
    return Decision(
        name="swap.way",
        choice=f"Change models by {'sleep level ' + str(best.conditions['level']) if asleep else 'restarting'}",
        reason=(
            f"{best.conditions['model']} gave its first token {best.value:.1f} s after the request; the slowest "
            f"change that was measured took {worst.value:.1f} s. "
            + (
                "Development routes stay closed to the network."
                if asleep
                else "There is no sleep mode on this hardware, so a change costs a start."
            )
        ),
        evidence=cited,
        alternatives=others,
    )


def _present(chapter: Chapter, names: Sequence[str]) -> list[str]:
    there = {record.name for record in chapter.records}
    return [name for name in names if name in there]


def _named(found: Measurement) -> str:
    told = found.conditions
    if told.get("way") == "sleep":
        return f"sleep level {told['level']}, {told['time']} time"
    return f"restart, from {str(told['source']).replace('_', ' ')}, after {told['before']}"


def _kept(figure: ways.Figure) -> int:
    return sizes.weight_bytes(catalogue.get(figure.model)) if figure.way == "sleep 1" else 0


def _answer(engine: Server) -> tuple[str, int]:
    told = client.chat(engine.url, client.question(engine.model.name, QUESTION, TOKENS, seed=1))
    # A model that thinks first may not have come to its answer yet: what it thought counts as well.
    thought = str(told.message.get("reasoning") or told.message.get("reasoning_content") or "")
    return told.error or thought + told.text, told.tokens


def _same(engine: Server, level: int, before: tuple[str, int], after: tuple[str, int]) -> Check:
    return Check(
        name="swap.answer",
        title="The answer after waking is the one before",
        status="pass" if before == after and after[1] else "fail",
        expected=f"{before[1]} tokens, greedy: {before[0][:60]!r}",
        observed=f"{after[1]} tokens: {after[0][:60]!r}",
        fix="do not use this level: the weights came back damaged or not at all; after level 2 they must be read again "
        '(POST /collective_rpc {"method": "reload_weights"}) and the prefix cache forgotten (POST /reset_prefix_cache)',
        source="vllm/v1/worker/gpu_worker.py, sleep and wake_up (vLLM 0.26 and 0.32)",
        conditions={"level": level, "model": engine.model.name},
    )


def _no_reload(engine: Server) -> Check:
    return Check(
        name="swap.answer",
        title="The answer after waking is the one before",
        status="skip",
        expected="the same greedy answer",
        observed="level 2 drops the weights, and random ones cannot be read again",
        fix="serve real weights to check this",
        source="vllm/v1/worker/gpu_model_runner.py, reload_weights: dummy loading has no iterator (vLLM 0.26)",
        conditions={"level": 2, "model": engine.model.name},
    )


def _slept(engine: Server, level: int) -> Check:
    return Check(
        name="swap.sleep",
        title="Sleep mode works",
        status="pass",
        expected="asleep after /sleep, awake after /wake_up, an answer after that; twice",
        observed="so it was",
        conditions={"level": level, "model": engine.model.name},
    )


def _failed(engine: Server, level: int, error: RunbookError) -> Check:
    return Check(
        name="swap.sleep",
        title="Sleep mode works",
        status="fail",
        expected="asleep after /sleep, awake after /wake_up, an answer after that; twice",
        observed=error.what,
        fix=error.fix or "read the engine's log in the raw files",
        conditions={"level": level, "model": engine.model.name},
    )


def _skip(chapter: Chapter) -> Check:
    cpu = chapter.profile.hardware == "cpu"
    return Check(
        name="swap.sleep",
        title="Sleep mode works",
        status="skip",
        expected="weights leave the card and come back in seconds",
        observed="vLLM has no sleep mode on a CPU; restarts are measured instead"
        if cpu
        else "swap.sleep_levels of the profile is empty",
        fix="run this chapter on a GPU with swap.sleep_levels: [1, 2]",
        source=sleep.WHERE_IT_IS,
    )
