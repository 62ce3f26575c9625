"""How findings look, in JupyterLab and in the document: the same small set of tables, badges and figures."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import plotly.graph_objects as go
import plotly.io as pio
from IPython.display import display as ipython_display

from lib.core.evidence import Change, Check, Decision, Measurement, Provenance

if TYPE_CHECKING:
    from pathlib import Path

    from lib.core.notebook import Source
    from lib.core.profile import Profile

WORDS = {"pass": "pass", "warn": "warning", "fail": "fail", "skip": "skipped"}
WHERE = {
    "host": "measured on this host",
    "recorded": "from a recorded machine",
    "lab": "from a twin in the lab",
    "cited": "cited",
}
PALETTE = ("#1f5fa8", "#c8553d", "#3a7d44", "#8a5a9e", "#b8860b", "#4a4a4a")

STYLE = """
<style>
.rb-table{border-collapse:collapse;font-size:.9em;margin:.6em 0}
.rb-table th,.rb-table td{padding:.3em .7em;border-bottom:1px solid #d8dde3;text-align:left;vertical-align:top}
.rb-table td.rb-number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.rb-badge{display:inline-block;border-radius:3px;padding:0 .45em;font-size:.82em;font-weight:600;white-space:nowrap}
.rb-pass{background:#e0f2e4;color:#1d5b2a}.rb-warn{background:#fdf0d2;color:#7a5200}
.rb-fail{background:#fbdfdc;color:#8f1d14}.rb-skip{background:#e8eaed;color:#4a4f55}
.rb-origin{color:#5c6670;font-size:.78em;border:1px solid #c9d0d7;border-radius:3px;padding:0 .35em}
.rb-diff{background:#f6f8fa;padding:.6em .8em;overflow:auto;font-size:.85em}
.rb-diff ins{background:#e0f2e4;text-decoration:none;display:block}
.rb-diff del{background:#fbdfdc;text-decoration:none;display:block}
</style>
"""


class Html:
    """A piece of HTML with a plain-text twin, as Jupyter and the document render it."""

    def __init__(self, markup: str, text: str = "") -> None:
        self.markup, self.text = markup, text

    def _repr_html_(self) -> str:
        return self.markup

    def __repr__(self) -> str:
        return self.text or "table"


class Figure:
    """A plotly figure kept as data: the document draws it with its one embedded plotly.js."""

    MIME: ClassVar[str] = "application/vnd.plotly.v1+json"

    def __init__(self, figure: go.Figure, caption: str) -> None:
        self.figure, self.caption = figure, caption

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        bundle = dict(self.figure._repr_mimebundle_())
        return {self.MIME: bundle[self.MIME], "text/plain": f"Figure: {self.caption}"}

    def __repr__(self) -> str:
        return f"Figure: {self.caption}"


def setup() -> None:
    """Set the house's plotly theme and keep figures as data."""
    template = go.layout.Template(pio.templates["plotly_white"])
    template.layout.colorway = PALETTE
    template.layout.font = {"family": "Source Sans 3, Segoe UI, Helvetica Neue, Arial, sans-serif", "size": 14}
    template.layout.margin = {"l": 64, "r": 24, "t": 28, "b": 56}
    template.layout.legend = {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0}
    pio.templates["runbook"] = template
    pio.templates.default = "runbook"
    pio.renderers.default = "plotly_mimetype"


def show(*items: object) -> None:
    """Show several items from one cell."""
    for item in items:
        ipython_display(item)


def figure(plot: go.Figure, caption: str) -> Figure:
    """Wrap a plotly figure with its caption, which the document numbers."""
    plot.update_layout(meta={"caption": caption})
    return Figure(plot, caption)


def badge(status: str) -> str:
    """Return the coloured word of a check's status."""
    return f'<span class="rb-badge rb-{status}">{WORDS[status]}</span>'


def origin(provenance: Provenance) -> str:
    """Return the small mark beside a number that tells where it comes from."""
    weights = " with random weights" if provenance.weights == "random" else ""
    parts = [f"{WHERE[provenance.where]}{weights}", provenance.engine, provenance.model, provenance.command]
    parts.append(provenance.time.strftime("%Y-%m-%d %H:%M UTC"))
    tip = " · ".join(part for part in parts if part)
    links = "".join(f' <a href="{html.escape(a.path)}" title="sha256 {a.sha256}">raw</a>' for a in provenance.artifacts)
    word = "random weights" if weights else provenance.where
    return f'<span class="rb-origin" title="{html.escape(tip)}">{word}</span>{links}'


def table(rows: Iterable[Mapping[str, object]], caption: str = "", numeric: Sequence[str] = ()) -> Html:
    """Render rows as a table; the keys of the first row are the headings. Values are escaped unless `Html`."""
    listed = list(rows)
    if not listed:
        return Html("<p class='rb-empty'>nothing to show</p>", "nothing to show")
    heads = list(listed[0])
    head = "".join(f"<th>{html.escape(h)}</th>" for h in heads)
    body = "".join("<tr>" + "".join(_cell(row.get(h, ""), h in numeric) for h in heads) + "</tr>" for row in listed)
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    text = "\n".join(" | ".join(_plain(row.get(h, "")) for h in heads) for row in [{h: h for h in heads}, *listed])
    markup = f'{STYLE}<table class="rb-table">{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return Html(markup, text)


def checks(records: Iterable[Check], caption: str = "") -> Html:
    """Render checks with expectation, observation and what to do; failures first."""
    order = {"fail": 0, "warn": 1, "skip": 2, "pass": 3}
    rows = [
        {
            "": Html(badge(check.status), check.status),
            "Check": Html(f"{html.escape(check.title or check.name)}<br><code>{check.name}</code>", check.name),
            "Expected": check.expected,
            "Observed": Html(f"{html.escape(check.observed)} {origin(check.provenance)}", check.observed),
            "What to do": Html(_fix(check), check.fix),
        }
        for check in sorted(records, key=lambda check: order[check.status])
    ]
    return table(rows, caption)


def measurements(records: Iterable[Measurement], caption: str = "") -> Html:
    """Render measurements with unit, interval, repetitions and origin."""
    rows = [
        {
            "Measurement": m.title or m.name,
            "Conditions": ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in m.conditions.items()),
            "Value": Html(f"{number(m.value)} {html.escape(m.unit)} {origin(m.provenance)}", f"{m.value} {m.unit}"),
            "95 % interval": f"{number(m.interval[0])} … {number(m.interval[1])}" if m.interval else "",
            "n": str(m.n),
        }
        for m in records
    ]
    return table(rows, caption, numeric=("Value", "95 % interval", "n"))


def changes(records: Iterable[Change], caption: str = "") -> Html:
    """Render changes as a diff with the reason and source of each."""
    parts = []
    for change in records:
        same = change.before == change.after
        lines = (
            f" {_escape(change.before)}"
            if same
            else f"<del>- {_escape(change.before)}</del><ins>+ {_escape(change.after)}</ins>"
        )
        parts.append(
            f'<div class="rb-change"><strong>{_escape(change.title or change.name)}</strong> '
            f'<code>{_escape(change.target)}</code> <span class="rb-badge rb-skip">{change.status}</span>'
            f'<pre class="rb-diff">{lines}</pre><p>{_escape(change.reason)} {link(change.source)}</p></div>'
        )
    title = f"<p><strong>{_escape(caption)}</strong></p>" if caption else ""
    return Html(STYLE + title + "".join(parts) or "<p>no changes</p>", f"{len(parts)} changes")


def decision(record: Decision) -> Html:
    """Render a decision with its reason and the evidence that it cites."""
    cited = ", ".join(f"<code>{_escape(name)}</code>" for name in record.evidence)
    others = f"<p>Also considered: {_escape('; '.join(record.alternatives))}.</p>" if record.alternatives else ""
    markup = (
        f'{STYLE}<aside class="rb-decision"><p><strong>Decision: {_escape(record.choice)}</strong></p>'
        f"<p>{_escape(record.reason)}</p>{others}<p>Evidence: {cited}</p></aside>"
    )
    return Html(markup, f"Decision: {record.choice}")


def header(source: "Source", profile: "Profile", mode: str, run: "Path") -> Html:
    """Render a chapter's header table from its metadata and what earlier runs learned."""
    from lib.core import timings

    meta = source.metadata
    known = timings.load(run.parent).get(profile.name, {}).get(source.id)
    last = f"{known.when:%Y-%m-%d}, took {duration(known.seconds)}" if known else "not yet on this host"
    row = {
        "Time": duration(known.seconds if known else meta.minutes * 60),
        "Risk": meta.risk,
        "Changes": meta.changes,
        "Undo": meta.undo,
        "Last verified": last,
        "Profile": f"{profile.name} ({mode})",
    }
    return table([{"": key, " ": value} for key, value in row.items()])


def duration(seconds: float) -> str:
    """Render seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def number(value: float) -> str:
    """Render a number with four significant digits, thousands apart, no exponent."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    text = f"{value:.4g}"
    return f"{value:.6f}".rstrip("0") if "e" in text else text


def link(source: str) -> str:
    """Render a source as a link where it is one; a date or note after the address stays text."""
    if not source:
        return ""
    first, _, rest = source.partition(" ")
    if first.startswith(("http://", "https://")):
        return f'<a class="rb-source" href="{html.escape(first)}">source</a> {_escape(rest)}'.strip()
    return f'<span class="rb-source">{_escape(source)}</span>'


def _fix(check: Check) -> str:
    text = _escape(check.fix).replace("\n", "<br>") if check.status in ("fail", "warn", "skip") else ""
    return " ".join(part for part in (text, link(check.source)) if part)


def _cell(value: object, numeric: bool) -> str:
    content = value.markup if isinstance(value, Html) else _escape(str(value))
    return f'<td class="rb-number">{content}</td>' if numeric else f"<td>{content}</td>"


def _plain(value: object) -> str:
    return value.text if isinstance(value, Html) else str(value)


def _escape(text: str) -> str:
    return html.escape(text)
