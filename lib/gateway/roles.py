"""From the name that a client asks for to the engines that may answer it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lib.core.errors import RunbookError, nearest
from lib.core.sections.gateway import Gateway, GatewayEngine
from lib.engine.models import catalogue
from lib.gateway import errors
from lib.gateway.keys import ALL_ROLES, Key

MEMORY = "memory/"


class Route(NamedTuple):
    """Where a request goes.

    Parameters
    ----------
    role : str
        Name in metrics and headers, without `memory/`.
    engines : tuple of str
        The one that should answer, then those that may instead.
    memory : bool
        Whether facts are put into the prompt.
    """

    role: str
    engines: tuple[str, ...]
    memory: bool = False


def started(settings: Gateway) -> Gateway:
    """Return a section with the engines that chapter 10 starts, and the roles that they answer."""
    engines = {name: told for name, told in settings.engines.items() if told.in_chapter}
    roles = {
        role: told.model_copy(update={"fallback": [name for name in told.fallback if name in engines]})
        for role, told in settings.roles.items()
        if told.engine in engines or told.engine not in settings.engines
    }
    return settings.model_copy(update={"engines": engines, "roles": roles})


class Roles:
    """The names of a profile.

    Parameters
    ----------
    settings : Gateway
        Roles and engines.

    Raises
    ------
    RunbookError
        A role or a card that names what is not there, or no role at all.
    """

    def __init__(self, settings: Gateway) -> None:
        self.settings = settings
        _coherent(settings)

    def resolve(self, name: object, key: Key) -> Route:
        """Return the route of a role's or a model's name; None is the first role.

        Raises
        ------
        RefusalError
            The name is unknown, or this key may not ask for it: OpenAI's 404 for both, with those that it may.
        """
        if name is None:
            name = next((role for role in self.settings.roles if key.may(role)), "")
        text = name if isinstance(name, str) else ""
        base = text.removeprefix(MEMORY)
        if text and (base == text or self.settings.memory):
            role = base if base in self.settings.roles else self._role_of_model(base, key)
            if role and key.may(role):
                route = self.settings.roles[role]
                return Route(role, (route.engine, *route.fallback), base != text)
        raise errors.unknown_model(name, self.names(key))

    def names(self, key: Key) -> list[str]:
        """Return every name that a key may ask for: its roles, the same with memory, and their models."""
        roles = [role for role in self.settings.roles if key.may(role)]
        chatting = [f"{MEMORY}{role}" for role in roles if self.chats(role)] if self.settings.memory else []
        models = [self.engine(self.settings.roles[role].engine).model for role in roles]
        return list(dict.fromkeys([*roles, *chatting, *models]))

    def chats(self, role: str) -> bool:
        """Tell whether a role's model holds conversations; one that the catalogue does not know may."""
        known = catalogue.load().get(self.engine(self.settings.roles[role].engine).model)
        return known is None or known.task == "chat"

    def engine(self, name: str) -> GatewayEngine:
        """Return an engine by its name."""
        return self.settings.engines[name]

    def _role_of_model(self, model: str, key: Key) -> str:
        named = [role for role, told in self.settings.roles.items() if self.engine(told.engine).model == model]
        return next((role for role in named if key.may(role)), "")


def _coherent(settings: Gateway) -> None:
    if not settings.roles:
        raise RunbookError(
            "the profile has no role for the gateway",
            where="gateway.roles",
            fix="name one: gateway: {engines: {main: {model: …}}, roles: {planner: {engine: main}}}",
        )
    for role, told in settings.roles.items():
        if role == ALL_ROLES or role.startswith(MEMORY):
            raise RunbookError(f"'{role}' is no name for a role", where="gateway.roles", fix="choose another one")
        for name in (told.engine, *told.fallback):
            _known(name, settings.engines, f"gateway.roles.{role}", "engines")
    for name, engine in settings.engines.items():
        _fits(name, engine, settings.cards)


def _fits(name: str, engine: GatewayEngine, cards: Mapping[str, float]) -> None:
    place = f"gateway.engines.{name}"
    if engine.card:
        _known(engine.card, cards, place, "cards")
        if engine.gib > cards[engine.card]:
            raise RunbookError(
                f"{engine.gib:g} GiB do not fit on {engine.card} with {cards[engine.card]:g} GiB",
                where=f"{place}.gib",
                fix="choose a smaller model, or quantise it (chapter 04 tells what fits)",
            )
    elif engine.switch != "always":
        raise RunbookError(f"{engine.switch} makes room on a card, and none is named", where=f"{place}.card")
    if engine.switch == "restart" and engine.url:
        raise RunbookError(
            "only an engine that the gateway starts itself can be restarted by it",
            where=f"{place}.url",
            fix="leave url out, or set switch: sleep (a GPU) or switch: always",
        )


def _known(name: str, there: Mapping[str, object] | Sequence[str], place: str, what: str) -> None:
    if name not in there:
        raise RunbookError(
            f"'{name}' is not among gateway.{what}",
            where=place,
            nearest=nearest(name, there),
            fix=f"one of: {', '.join(there) or 'none is there'}",
        )
