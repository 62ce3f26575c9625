"""What a profile says of the owner's money and plans: prices and tariffs that he stated, and what he thinks of buying.

Nothing here has a default that is a number: what the owner did not say stays unknown, and the document says so.
"""

from pydantic import Field

from lib.core.sections.base import Section


class Part(Section):
    """One line of the bill of materials."""

    what: str = Field(description="As the owner calls it")
    count: int = Field(default=1, ge=1)
    price: float | None = Field(default=None, ge=0, description="What one of them cost, in costs.currency")
    use: str = Field(default="", description="What it is for")


class Costs(Section):
    """Prices and tariffs, the owner's own."""

    currency: str = Field(default="", pattern=r"^([A-Z]{3})?$", description="Of all prices here, as ISO 4217: THB, USD")
    tariff_day: float | None = Field(default=None, ge=0, description="One kWh by day, in costs.currency")
    tariff_night: float | None = Field(default=None, ge=0, description="One kWh at night; the same where there is one")
    night_from_h: int | None = Field(default=None, ge=0, le=23, description="Hour at which the night tariff begins")
    night_until_h: int | None = Field(default=None, ge=0, le=23, description="Hour at which it ends")
    beside_card_w: float | None = Field(
        default=None, ge=0, description="What the machine draws beside its card under load, W, by the owner's meter"
    )
    years: float | None = Field(default=None, gt=0, description="Parts are written off over so many years of load")
    parts: dict[str, Part] = Field(default={}, description="The bill of materials")


class Board(Section):
    """A board that the owner thinks of buying."""

    title: str
    channels: int = Field(ge=1, description="Channels of its memory")
    mts: int = Field(ge=1, description="Speed of its memory, MT/s")
    memory_gb: float = Field(gt=0, description="Memory that it would get, GB")
    lanes: int = Field(ge=1, description="PCIe lanes for cards")


class Plan(Section):
    """What the owner thinks of: more cards, another board, larger models."""

    cards: int = Field(default=0, ge=0, description="NVIDIA cards that the machine might have")
    models: list[str] = Field(default=[], description="Catalogue names of models that do not fit on the card")
    tokens_s: float | None = Field(default=None, gt=0, description="Speed at which such a model is of use, tok/s")
    lanes: int | None = Field(default=None, ge=1, description="PCIe lanes that the present board has for cards")
    memory_gb: list[float] = Field(default=[], description="Sizes of memory that are thought of, GB")
    supplies_w: list[float] = Field(default=[], description="Rated power of each supply, W")
    boards: dict[str, Board] = Field(default={}, description="Boards that are thought of")
