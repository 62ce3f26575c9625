"""Which speculative configurations are tried: those of the profile and those of the catalogue's published drafts."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from lib.core import paths
from lib.core.sections import Profile
from lib.engine.models import fetch, store
from lib.engine.models.catalogue import Draft, Model
from lib.engine.serve.variant import Variant

# Every server that is compared runs without the prefix cache: all of them are asked the same prompts several times, and
# a prompt that is answered from the cache has no prefill, which would flatter whichever server is asked last.
COMPARED = ("--no-enable-prefix-caching",)
PLAIN = Variant("plain", flags=COMPARED)
# For a published draft that names no number itself.
TOKENS = 3
# Of `rejection_sample_method`: draft tokens are accepted by a set rate, whatever the text. Needs no real weights.
SYNTHETIC = "synthetic"
# The engine starts with it and dies with the first draft.
CPU_HAS_NO_SYNTHETIC = "AssertionError: Synthetic acceptance not supported with CPU sampling"
CPU_SOURCE = "vllm/utils/cpu_triton_utils.py (vLLM 0.32.0), and seen on 2026-11-24"


class Configuration(NamedTuple):
    """One speculative configuration.

    Parameters
    ----------
    name : str
        Short and stable: it stands in conditions and file names.
    settings : dict
        What vLLM's `--speculative-config` gets.
    folder : Path, optional
        Where its draft model lies, if it has one of its own.
    fetch : str
        The command that brings the draft.
    note : str
        What its publisher says.
    """

    name: str
    settings: dict[str, Any]
    folder: Path | None = None
    fetch: str = ""
    note: str = ""

    @property
    def tokens(self) -> int:
        """Draft tokens of a step; 0 where the draft's own config decides."""
        return int(self.settings.get("num_speculative_tokens") or 0)

    @property
    def synthetic_length(self) -> float | None:
        """The acceptance length that vLLM is told to make up, if it is."""
        length = self.settings.get("synthetic_acceptance_length")
        return None if length is None else float(length)

    @property
    def present(self) -> bool:
        """Whether the draft model is there; true where none is needed."""
        return self.folder is None or (self.folder / "config.json").is_file()

    @property
    def variant(self) -> Variant:
        """The server that runs it."""
        return Variant(self.name, flags=(*COMPARED, "--speculative-config", json.dumps(self.settings)))


def configurations(model: Model, profile: Profile) -> list[Configuration]:
    """Return what chapter 07 tries on a model, in the order in which it is shown.

    With random weights every configuration gets each of `speculation.synthetic_lengths`: text that means nothing has no
    acceptance of its own. Published drafts are left out there, for they were trained for the real weights. On a CPU
    nothing is left then: vLLM makes no acceptance up there (`CPU_HAS_NO_SYNTHETIC`).

    Parameters
    ----------
    model : Model
        The served model; its `drafts` become configurations on a GPU profile.
    profile : Profile
        Its `speculation.configurations`; a value `draft: NAME` in one becomes that catalogue model's folder.

    Raises
    ------
    RunbookError
        A `draft` that the catalogue does not have; the message names the nearest.
    """
    own = [_of_profile(name, settings, profile) for name, settings in profile.speculation.configurations.items()]
    if profile.serving.load_format == "dummy":
        if profile.hardware == "cpu":
            return []
        return [
            synthetic(each, length)
            for each in own
            for length in profile.speculation.synthetic_lengths
            if not each.tokens or length <= each.tokens + 1
        ]
    drafts = model.drafts if profile.hardware == "cuda" else []
    return own + [of_draft(draft, profile) for draft in drafts]


def of_draft(draft: Draft, profile: Profile) -> Configuration:
    """Return the configuration of a published draft of the catalogue."""
    settings: dict[str, Any] = {"method": draft.method, "num_speculative_tokens": draft.tokens or TOKENS}
    if draft.parallel:
        settings["parallel_drafting"] = True
    if not draft.repo:
        return Configuration(draft.method, settings, note=draft.note)
    folder = store.path(profile.models.store) / "drafts" / draft.repo.replace("/", "--")
    settings["model"] = paths.short(folder)
    name = draft.repo.rpartition("/")[2].lower()
    command = f"hf download {draft.repo} --local-dir {paths.short(folder)}"
    return Configuration(name, settings, folder, command, draft.note)


def synthetic(configuration: Configuration, length: float) -> Configuration:
    """Return the same configuration with an acceptance length that vLLM makes up."""
    made_up = {"rejection_sample_method": SYNTHETIC, "synthetic_acceptance_length": float(length)}
    name = f"{configuration.name}-al{length:g}"
    return configuration._replace(name=name, settings={**configuration.settings, **made_up})


def _of_profile(name: str, settings: dict[str, Any], profile: Profile) -> Configuration:
    given = dict(settings)
    draft = given.pop("draft", None)
    if draft is None:
        return Configuration(name, given)
    folder = fetch.folder(str(draft), profile.models.store)
    given = {"method": "draft_model", **given, "model": paths.short(folder)}
    return Configuration(name, given, folder, store.command("fetch", folder))
