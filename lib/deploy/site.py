"""One host as the concerns see it, and the questions that verify it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lib.core.sections import Profile
from lib.core.sections.hosts import HostRole
from lib.deploy.serving import Service


@dataclass(frozen=True)
class Site:
    """One host of one profile, as the concerns see it.

    Parameters
    ----------
    host : str
        The host's name in the profile.
    services : tuple of Service
        The engines that a home serves; their flags come from the room above, which knows models.
    public_keys, preshared : mapping of str to str
        WireGuard keys of the machines on the other side of the tunnel, by name: what they said, as far as they were
        asked. The second kind is secret and is shown nowhere.
    keys, token_secrets : str
        The owner's key store, and the secrets of tokens, for a VPS to judge by; empty: nobody has a key yet.
    lab : bool
        A twin: no card, no registry of Python packages. What it cannot have is left out, and named in the rehearsal.
    """

    profile: Profile
    host: str
    role: HostRole
    services: tuple[Service, ...] = ()
    lab: bool = False
    public_keys: Mapping[str, str] = field(default_factory=dict)
    preshared: Mapping[str, str] = field(default_factory=dict, repr=False)
    keys: str = field(default="", repr=False)
    token_secrets: str = field(default="", repr=False)


@dataclass(frozen=True)
class Probe:
    """A question to a host that shows whether a concern does what it is for, not only that its files are there.

    Parameters
    ----------
    script : str
        Prints what is seen; the first line counts.
    expected : str
        A pattern that the line must match as a whole.
    """

    name: str
    title: str
    script: str
    expected: str
