"""Which hosts a profile deploys to, and what is set up on them."""

from typing import Literal

from pydantic import Field

from lib.core.sections.base import Section

HostRole = Literal["home", "vps", "client"]


class HostAccess(Section):
    """One host: how it is reached and what it is for."""

    role: HostRole
    address: str = Field(default="local", description="Name or IP address; local: this machine, without SSH")
    port: int = Field(default=22, ge=1, le=65535)
    user: str = Field(default="root", description="root, or a user with sudo without a password")
    key: str = Field(default="", description="File of the private SSH key; empty: the SSH agent's keys")
    known_hosts: str = Field(default=".cache/known_hosts", description="Its key is kept here the first time")


class Deploy(Section):
    """What is set up on the hosts beyond what the other sections say."""

    admin: str = Field(default="", pattern=r"^([a-z][a-z0-9_-]{0,30})?$", description="Account that is made; or none")
    admin_keys: list[str] = Field(default=[], description="Public SSH keys of that account, one line each")
    journal_max: str = Field(default="1G", pattern=r"^[1-9]\d*[KMGT]$", description="Largest journal on disk")
    ntp_servers: list[str] = Field(default=[], description="Time servers; none: the distribution's")
    model_store: Literal["disk", "tmpfs"] = Field(default="disk", description="tmpfs: models are copied to memory")
    health_interval_s: int = Field(default=60, ge=5, description="How often the engine's health is asked")
    apt_wait_s: int = Field(default=120, ge=0, description="How long to wait for another program to end with apt")
    free_mib: int = Field(default=300, ge=0, description="Free space that a host must have before it is changed")
    connect_timeout_s: int = Field(default=10, ge=1)
