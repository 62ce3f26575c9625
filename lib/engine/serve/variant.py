"""One server configuration among several that are compared: the profile's, with some fields of `serving` changed."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from lib.core import profile as profiles
from lib.core.sections import Profile


class Variant(NamedTuple):
    """A configuration with a name.

    Parameters
    ----------
    label : str
        Short and stable: it stands in tables, conditions and file names.
    serving : mapping, optional
        Fields of the profile's `serving` section that differ.
    flags : tuple of str, optional
        Further vLLM flags, after all others.
    model : str, optional
        Catalogue name; empty: the profile's served model.
    """

    label: str
    serving: Mapping[str, Any] = {}
    flags: tuple[str, ...] = ()
    model: str = ""

    def of(self, profile: Profile) -> Profile:
        """Return the profile that serves this variant; a wrong field raises `RunbookError`."""
        extra = [*profile.serving.extra_args, *self.flags]
        changed = profiles.change(profile, "serving", **{**self.serving, "extra_args": extra})
        return profiles.change(changed, "models", served=self.model) if self.model else changed


# The configuration that the profile itself describes.
OWN = Variant("profile")
# Where the search over flags starts: what vLLM does when it is told nothing about batching and threads.
DEFAULTS = Variant("defaults", {"max_num_seqs": None, "max_num_batched_tokens": None, "all_cpus": False})
