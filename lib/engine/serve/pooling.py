"""A server of an embedding model: the model's whole context and its own number format, many short texts at a time."""

from typing import get_args

from lib.core.profile import change
from lib.core.sections import Profile, Serving
from lib.engine.models.catalogue import Model

LONGEST = 8192


def serving(profile: Profile, model: Model) -> Profile:
    """Return a profile that serves an embedding model beside others: what was set for a chat model is not for it."""
    formats = get_args(Serving.model_fields["dtype"].annotation)
    return change(
        profile,
        "serving",
        port=0,
        max_model_len=min(model.context or LONGEST, LONGEST),
        max_num_seqs=64,
        max_num_batched_tokens=LONGEST,
        dtype=model.format if model.format in formats else "auto",
        kv_cache_dtype="auto",
        gpu_memory_utilization=profile.memory.card_share,
        extra_args=[],
    )
