"""The evidence list: anchors, and the machine that most records were made on."""

from lib.core.evidence import Measurement, Provenance
from lib.report import ledger


def made(where: str, host: str, engine: str) -> Measurement:
    provenance = Provenance.model_validate({"where": where, "host": host, "engine": engine})
    return Measurement(name="a.m", value=1, unit="s", provenance=provenance)


def test_cited_figures_do_not_name_the_machine() -> None:
    records = [made("cited", "", ""), made("cited", "", ""), made("host", "abc", "vllm 1")]
    assert ledger.usual(records) == ledger.Usual("abc", "vllm 1")


def test_the_usual_machine_of_no_records_is_empty() -> None:
    assert ledger.usual([]) == ledger.Usual("", "")


def test_records_of_one_name_have_anchors_of_their_own() -> None:
    rows = ledger.rows([made("host", "", ""), made("host", "", "")], [])
    assert [row.anchor for row in rows] == ["record-a.m", "record-a.m-2"]
