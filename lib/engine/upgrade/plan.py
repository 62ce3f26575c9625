"""What more cards, another board and larger models would give: arithmetic over the catalogue and the profile, no guess.

Ceilings are upper bounds: bytes that a token must read over the bytes a second that the memory or the link can move at
best. A real engine stays below them.
"""

from math import inf
from typing import NamedTuple

from lib.engine.models.catalogue import Architecture, Model
from lib.engine.models.sizes import read_bytes, weight_bytes

BUS_BYTES = 8  # a channel of DDR moves 64 bits at a time
# Line rate of a lane in GT/s; from the third generation on 128 of 130 bits are data.
PCIE_GT_S = {3: 8.0, 4: 16.0, 5: 32.0, 6: 64.0}
PCIE_CODE = 128 / 130


class Split(NamedTuple):
    """A model that lies on the card as far as it fits, with the rest of its experts in main memory, bytes."""

    card: float
    memory: float
    memory_read: float

    @property
    def whole_on_card(self) -> bool:
        """Nothing is left for main memory."""
        return self.memory <= 0


def divides(architecture: Architecture, cards: int) -> bool:
    """Tell whether tensor parallelism can share a model's heads over so many cards.

    vLLM shares the query heads evenly, and the KV heads too, or gives every card a copy of one of them.
    """
    kv, even = architecture.kv_heads, architecture.q_heads % cards == 0
    return even and (kv % cards == 0 or cards % kv == 0)


def memory_gb_s(channels: int, mts: int) -> float:
    """Return the peak bandwidth of main memory, GB/s."""
    return channels * mts * BUS_BYTES / 1000


def pcie_gb_s(generation: int, lanes: int) -> float:
    """Return the peak bandwidth of a PCIe link in one direction, GB/s.

    Raises
    ------
    KeyError
        A generation before the third or after the sixth.
    """
    return PCIE_GT_S[generation] * lanes * PCIE_CODE / 8


def token_bytes(model: Model) -> float:
    """Return the bytes of weights that one token of a single stream reads."""
    return sum(read_bytes(model, model.architecture.top_k).values())


def split(model: Model, card: float) -> Split:
    """Put a mixture on a card with `card` bytes of room for weights: first all but the experts, then experts.

    A dense model has no experts: what does not fit is read with every token. Experts are taken to be hit evenly.
    """
    parts = read_bytes(model, model.architecture.top_k)
    total = float(weight_bytes(model))
    left = max(total - card, 0.0)
    experts = read_bytes(model, model.architecture.experts)["experts"]
    if not experts:
        return Split(total - left, left, left)
    share = min(left / experts, 1.0)
    beyond = max(left - experts, 0.0)  # the rest does not fit on the card either
    return Split(total - left, left, parts["experts"] * share + beyond)


def ceiling(read: float, gb_s: float) -> float:
    """Return the most tokens a second that `read` bytes a token allow at a bandwidth, tok/s."""
    return gb_s * 1e9 / read if read > 0 else inf


def needed_gb_s(read: float, tokens_s: float) -> float:
    """Return the bandwidth that `read` bytes a token need for a speed, GB/s."""
    return read * tokens_s / 1e9


def channels_needed(gb_s: float, mts: int) -> float:
    """Return how many channels of memory at a speed (MT/s) have this bandwidth."""
    return gb_s / memory_gb_s(1, mts)


def drawn_w(cards: int, card_w: float, processor_w: float) -> float:
    """Return what so many cards and the processor draw together at their limits, W."""
    return cards * card_w + processor_w
