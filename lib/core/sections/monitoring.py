"""What a profile says about its watching: what is asked how often, when somebody is told, and where (chapter 12)."""

from pydantic import Field

from lib.core.sections.base import Section


class Limits(Section):
    """From where on an alert is due. Latency is held against `batching.ttft_limit_ms` and `batching.tpot_limit_ms`."""

    memory_free: float = Field(default=0.05, gt=0, lt=1, description="Share of main memory that must be available")
    disk_free: float = Field(default=0.08, gt=0, lt=1, description="Share of a file system that must be free")
    host_c: float = Field(default=90, gt=0, description="Hottest sensor of the host, °C")
    disk_wear: float = Field(default=0.8, gt=0, description="Share of a disk's rated writes that may be used up")
    gpu_free_mib: float = Field(default=300, ge=0, description="Memory of a card that must stay free")
    pcie_replays_hour: float = Field(default=50, ge=0)
    waiting: int = Field(default=8, ge=0, description="Requests that may wait for an engine for minutes")
    kv_cache: float = Field(default=0.95, gt=0, le=1, description="Share of the KV cache in use")
    gateway_errors: float = Field(default=0.05, gt=0, lt=1, description="Share of answers with a status of 5xx")
    wrong_keys_minute: float = Field(default=5, gt=0, description="Requests with a wrong key")
    handshake_s: float = Field(default=180, gt=0, description="WireGuard renews its keys every two minutes")
    certificate_days: float = Field(default=14, gt=0)
    ups_runtime_s: float = Field(default=240, gt=0, description="What a shutdown in order needs, with margin")
    ups_battery_years: float = Field(default=4, gt=0, description="Lead batteries are worn after three to five years")
    snapshot_hours: float = Field(default=2, gt=0)
    backup_hours: float = Field(default=30, gt=0)
    restore_drill_days: float = Field(default=35, gt=0)


class Mail(Section):
    """Messages by e-mail; the password is in `/etc/prometheus/secrets/mail`."""

    to: str
    sender: str
    smarthost: str = Field(pattern=r"^[^:]+:\d+$", description="Server and port; STARTTLS is asked for")
    user: str = ""
    tls: bool = True


class Messages(Section):
    """Who is told, and how often. What is secret stands in files on the host: one a way, in `/etc/prometheus/secrets`.

    `telegram`: the bot's token; `mail`: the password; `webhook`: the whole address.
    """

    telegram_chat: int = Field(default=0, description="Telegram's number of the chat; 0: no Telegram")
    mail: Mail | None = None
    webhook: bool = Field(default=False, description="Post alerts to the address in the file `webhook`")
    repeat_hours: float = Field(default=4, gt=0, description="How soon an alert that still holds is told again")


class Monitoring(Section):
    """The watching of all hosts: Prometheus and Alertmanager at home, exporters everywhere, a dead man's switch."""

    scrape_s: int = Field(default=15, ge=1, description="How often every target is asked")
    retention_days: int = Field(default=90, ge=1)
    storage_gb: float = Field(default=10, gt=0, description="Most disk that Prometheus may use")
    mount_points: str = Field(
        default="^/(dev|proc|run|sys|srv/models-in-memory|var/lib/docker/.+)($|/)", description="Not watched"
    )
    ups: str = Field(default="ups", description="Name of the UPS in NUT")
    markers: str = Field(
        default="/var/lib/inference/markers", description="Folder of files touched when a job has succeeded"
    )
    jobs: list[str] = Field(default=[], description="Files that must be there, of jobs that do not tell themselves")
    silence_s: int = Field(default=300, ge=1, description="The VPS tells when the watching has been silent so long")
    deadman_port: int = Field(default=9911, ge=1, le=65535, description="On the VPS's tunnel address")
    dcgm_image: str = Field(default="nvcr.io/nvidia/k8s/dcgm-exporter:4.5.3-4.8.2-distroless")
    limits: Limits = Limits()
    messages: Messages = Messages()
    wait_s: float = Field(default=40, gt=0, description="Chapter 12: longest wait for an alert, or for its end")
