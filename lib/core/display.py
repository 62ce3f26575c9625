"""How findings look, in JupyterLab and in the document: the same small set of tables, badges and figures."""

import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import plotly.graph_objects as go
import plotly.io as pio
from IPython.display import display as ipython_display

from lib.core.evidence import Change, Check, Decision, Measurement, Provenance

if TYPE_CHECKING:
    from pathlib import Path

    from lib.core.notebook import Source
    from lib.core.sections import Profile

WORDS = {"pass": "pass", "warn": "warning", "fail": "fail", "skip": "skipped"}
WHERE = {
    "host": "measured on this host",
    "recorded": "from a recorded machine",
    "lab": "from a twin in the lab",
    "cited": "cited",
}
_CODE = re.compile(r"`([^`\n]+)`")
# Of programs, and of data that one program wrote for another, a dashboard say, paper shows so much.
PRINTED_LINES, PRINTED_IN_PART = 60, (".json", ".py", ".sh")
BLUES = [[0, "#e6eef7"], [1, "#123c6b"]]
PALETTE = ("#1f5fa8", "#c8553d", "#3a7d44", "#8a5a9e", "#b8860b", "#4a4a4a")

# JupyterLab's own colours where there are some, so that both of its themes read well; the document has its own sheet.
STYLE = """
<style>
.rb-table{border-collapse:collapse;font-size:.92em;margin:.6em 0;font-variant-numeric:lining-nums tabular-nums}
.rb-table caption{text-align:left;font-weight:600;padding:.3em 0}
.rb-table th,.rb-table td{padding:.35em .8em .35em 0;border-bottom:1px solid var(--jp-border-color2,#d8dde3);
text-align:left!important;vertical-align:top;max-width:32em;white-space:normal}
.rb-table thead th{border-bottom-color:currentColor}
.rb-table tbody tr{background:none!important}
.rb-table .rb-number{text-align:right!important;white-space:nowrap}
.rb-table .rb-todo td{border-bottom:1px solid var(--jp-border-color2,#d8dde3);padding-top:0}
.rb-table .rb-open td{border-bottom:0}
.rb-name{font-size:.86em;opacity:.75;overflow-wrap:anywhere}
.rb-badge{display:inline-block;border-radius:2px;padding:0 .45em;font-size:.85em;font-weight:600;white-space:nowrap}
.rb-pass{background:#e3f1e6;color:#1d5b2a}.rb-warn{background:#fbefd0;color:#6f4a00}
.rb-fail{background:#fbe0dd;color:#8f1d14}.rb-skip{background:#e8eaed;color:#44494f}
.rb-origin{font-size:.82em;opacity:.8;border:1px solid var(--jp-border-color1,#b9c0c7);border-radius:2px;
padding:0 .35em;white-space:nowrap}
.rb-change,.rb-decision{border-left:3px solid var(--jp-brand-color1,#1f5fa8);padding:.1em 0 .1em 1em;margin:1em 0}
.rb-paper{display:none}
.rb-diff{padding:.4em .6em!important;overflow:auto;font-size:.88em}
.rb-diff ins{background:#e3f1e6;color:#17361d;text-decoration:none;display:block}
.rb-diff del{background:#fbe0dd;color:#5c1712;text-decoration:none;display:block}
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
        # Not plotly's own bundle: it loads plotly's renderers, and with them nbformat, a second for every chapter.
        drawing = json.loads(self.figure.to_json())
        return {self.MIME: drawing, "text/plain": f"Figure: {self.caption}"}

    def __repr__(self) -> str:
        return f"Figure: {self.caption}"


def setup() -> None:
    """Set the house's plotly theme."""
    template = go.layout.Template(pio.templates["plotly_white"])
    template.layout.colorway = PALETTE
    template.data.heatmap = [go.Heatmap(colorscale=BLUES)]
    template.layout.font = {"family": "Source Sans 3, Segoe UI, Helvetica Neue, Arial, sans-serif", "size": 14}
    template.layout.margin = {"l": 64, "r": 24, "t": 28, "b": 56}
    template.layout.legend = {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0}
    pio.templates["runbook"] = template
    pio.templates.default = "runbook"


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


def origin(provenance: Provenance, name: str = "") -> str:
    """Return the small mark beside a number that tells where it comes from; with a name the document links it."""
    weights = " with random weights" if provenance.weights == "random" else ""
    parts = [f"{WHERE[provenance.where]}{weights}", provenance.engine, provenance.model, provenance.command]
    parts.append(provenance.time.strftime("%Y-%m-%d %H:%M UTC"))
    tip = _escape(" · ".join(part for part in parts if part))
    links = "".join(f' <a class="rb-raw" href="{_escape(a.path)}">raw</a>' for a in provenance.artifacts)
    word = "random weights" if weights else provenance.where
    return f'<span class="rb-origin" data-record="{_escape(name)}" title="{tip}">{word}</span>{links}'


def table(rows: Iterable[Mapping[str, object]], caption: str = "", numeric: Sequence[str] = ()) -> Html:
    """Render rows as a table; the keys of the first row are the headings. Values are escaped unless `Html`.

    Rows whose keys are blank are facts: name and value, without a line of headings.
    """
    listed = list(rows)
    if not listed:
        return Html("<p class='rb-empty'>nothing to show</p>", "nothing to show")
    heads = list(listed[0])
    facts = not any(head.strip() for head in heads)
    body = "".join(
        "<tr>" + "".join(_cell(row.get(h, ""), h, h in numeric, facts and h == heads[0]) for h in heads) + "</tr>"
        for row in listed
    )
    text = "\n".join(" | ".join(_plain(row.get(h, "")) for h in heads) for row in [{h: h for h in heads}, *listed])
    return Html(_table("rb-facts" if facts else "", caption, [] if facts else heads, body, numeric), text)


def checks(records: Iterable[Check], caption: str = "") -> Html:
    """Render checks with expectation and observation, failures first; below each that is not green, what to do."""
    order = {"fail": 0, "warn": 1, "skip": 2, "pass": 3}
    listed = sorted(records, key=lambda check: order[check.status])
    if not listed:
        return Html("<p class='rb-empty'>no checks</p>", "no checks")
    body = "".join(_check_rows(check) for check in listed)
    text = "\n".join(f"{c.status} | {c.name} | {c.expected} | {c.observed} | {c.fix}" for c in listed)
    return Html(_table("rb-checks rb-stack", caption, ["Verdict", "Check", "Expected", "Observed"], body), text)


def measurements(records: Iterable[Measurement], caption: str = "") -> Html:
    """Render measurements with unit, interval, repetitions and origin; a column that would be empty is left out."""
    rows = [
        {
            "Measurement": m.title or m.name,
            "Conditions": ", ".join(_conditions(m.conditions)),
            "Value": number(m.value),
            "Unit": m.unit,
            "95 % interval": f"{number(m.interval[0])} … {number(m.interval[1])}" if m.interval else "",
            "Baseline": "" if m.baseline is None else number(m.baseline),
            "n": str(m.n),
            "Origin": Html(f"{origin(m.provenance, m.name)} {link(m.source)}".strip(), m.provenance.where),
        }
        for m in records
    ]
    used = [key for key in rows[0] if any(row[key] for row in rows)] if rows else []
    shown = [{key: row[key] for key in used} for row in rows]
    return table(shown, caption, numeric=("Value", "95 % interval", "Baseline", "n"))


def changes(records: Iterable[Change], caption: str = "") -> Html:
    """Render changes as a diff with the reason and source of each."""
    parts = []
    for change in records:
        same = change.before == change.after
        lines = _lines("  ", change.before) if same else _diff(change)
        status = "as it should be" if same else change.status
        reason = prose(change.reason).replace("\n", "<br>")
        data = change.target.endswith(PRINTED_IN_PART) and change.after.count("\n") > PRINTED_LINES
        cut = f'<p class="rb-paper">{_beginning(change.after.splitlines())}</p>' if data else ""
        parts.append(
            f'<div class="rb-change{" rb-data" if data else ""}"><p><strong>{_escape(change.title or change.name)}'
            f'</strong> <code>{_escape(change.target)}</code> <span class="rb-badge rb-skip">{status}</span></p>'
            f'<pre class="rb-diff">{lines}</pre>{cut}<p>{reason} {link(change.source)}</p></div>'
        )
    if not parts:
        return Html("<p class='rb-empty'>no changes</p>", "no changes")
    title = f"<p><strong>{_escape(caption)}</strong></p>" if caption else ""
    return Html(STYLE + title + "".join(parts), f"{len(parts)} changes")


def decision(record: Decision) -> Html:
    """Render a decision with its reason and the evidence that it cites."""
    cited = ", ".join(f'<code class="rb-name" data-record="{_escape(n)}">{_escape(n)}</code>' for n in record.evidence)
    others = f"<p>Also considered: {prose('; '.join(record.alternatives))}.</p>" if record.alternatives else ""
    rests = f'<p class="rb-cited">Evidence: {cited}</p>' if cited else ""
    markup = (
        f'{STYLE}<aside class="rb-decision"><p><strong>Decision: {prose(record.choice)}</strong></p>'
        f"<p>{prose(record.reason)}</p>{others}{rests}</aside>"
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


def prose(text: str) -> str:
    """Return a record's words as markup: what stands in `backticks` is code."""
    return _CODE.sub(r"<code>\1</code>", _escape(text))


def code(text: str) -> Html:
    """Return what a program reads, for a table's cell."""
    return Html(f"<code>{_escape(text)}</code>", text)


def quoted(text: str) -> Html:
    """Return words that somebody or something said, which stay in their language, for a table's cell."""
    return Html(f'<q translate="no">{_escape(text)}</q>', text)


def link(source: str) -> str:
    """Render a source as a link where it is one; a date or note after the address stays text."""
    if not source:
        return ""
    first, _, rest = source.partition(" ")
    if first.startswith(("http://", "https://")):
        return f'<a class="rb-source" href="{html.escape(first)}">source</a> {_escape(rest)}'.strip()
    return f'<span class="rb-source">{_escape(source)}</span>'


def _table(classes: str, caption: str, heads: Sequence[str], body: str, numeric: Sequence[str] = ()) -> str:
    head = "".join(f'<th scope="col"{_number(h in numeric)}>{_escape(h)}</th>' for h in heads)
    titles = f"<thead><tr>{head}</tr></thead>" if head else ""
    title = f"<caption>{_escape(caption)}</caption>" if caption else ""
    return f'{STYLE}<table class="{f"rb-table {classes}".strip()}">{title}{titles}<tbody>{body}</tbody></table>'


def _conditions(conditions: Mapping[str, object]) -> list[str]:
    return [f"{key.replace('_', ' ')} {value}" for key, value in conditions.items()]


def _check_rows(check: Check) -> str:
    todo = check.fix if check.status != "pass" else ""
    name = f'<code class="rb-name" data-record="{check.name}">{check.name}</code>'
    opening = '<tr class="rb-open">' if todo else "<tr>"
    title = ", ".join([check.title, *_conditions(check.conditions)]).strip(", ")
    row = (
        f"{opening}<td>{badge(check.status)}</td>"
        f"<td>{_escape(title)}{'<br>' if title else ''}{name}</td>"
        f'<td data-label="Expected">{prose(check.expected)} {link(check.source)}</td>'
        f'<td data-label="Observed">{prose(check.observed)} {origin(check.provenance, check.name)}</td></tr>'
    )
    remedy = prose(todo).replace("\n", "<br>")
    return row + (f'<tr class="rb-todo"><td></td><td colspan="3"><b>What to do</b> {remedy}</td></tr>' if todo else "")


def _diff(change: Change) -> str:
    # The line end lies inside: where a style sheet is not trusted, the two must not run together.
    absent = ' class="rb-absent"' if change.before == "absent" else ""
    return f"<del{absent}>{_lines('- ', change.before)}\n</del><ins>{_lines('+ ', change.after)}</ins>"


def _beginning(lines: Sequence[str]) -> str:
    return f"The beginning of {len(lines)} lines: a program or data for one, whole in the document on the screen."


def _lines(mark: str, text: str) -> str:
    return "\n".join(f"{mark}{_escape(line)}" for line in text.split("\n"))


def _cell(value: object, label: str, numeric: bool, heading: bool) -> str:
    content = value.markup if isinstance(value, Html) else _escape(str(value))
    if heading:
        return f'<th scope="row">{content}</th>'
    named = f' data-label="{_escape(label)}"' if label.strip() else ""
    return f"<td{named}{_number(numeric)}>{content}</td>"


def _number(numeric: bool) -> str:
    return ' class="rb-number"' if numeric else ""


def _plain(value: object) -> str:
    return value.text if isinstance(value, Html) else str(value)


def _escape(text: str) -> str:
    return html.escape(text)
