"""What every host gets: SSH by keys only, an administrator, automatic updates, the right time, a bounded journal."""

from collections.abc import Iterator

from lib.deploy.resources import Account, File, Folder, Packages, Resource, Unit
from lib.deploy.resources.base import About
from lib.deploy.site import Probe, Site
from lib.deploy.template import render

SSHD = "https://man7.org/linux/man-pages/man5/sshd_config.5.html"
UPDATES = "https://wiki.debian.org/UnattendedUpgrades"
JOURNAL = "https://www.freedesktop.org/software/systemd/man/latest/journald.conf.html"
TIME = "https://www.freedesktop.org/software/systemd/man/latest/timesyncd.conf.html"


def resources(site: Site) -> list[Resource]:
    """Return what makes a fresh host a safe one."""
    return [*_packages(), *_administrator(site), *_ssh(), *_updates(), *_time(site), *_journal(site)]


def _packages() -> Iterator[Resource]:
    yield Packages(
        ("systemd-timesyncd", "unattended-upgrades"),
        about=About("Security updates come without anybody thinking of them, and logs have the right time.", UPDATES),
    )


def _administrator(site: Site) -> Iterator[Resource]:
    wanted = site.profile.deploy
    if not wanted.admin:
        return
    home = f"/home/{wanted.admin}"
    yield Account(
        wanted.admin,
        home,
        system=False,
        login="/bin/bash",
        groups=("sudo",),
        create_home=True,
        about=About("People work under their own name; root is reached through sudo, which logs it."),
    )
    yield Folder(
        f"{home}/.ssh",
        "700",
        wanted.admin,
        wanted.admin,
        with_contents=True,
        about=About("Where the account's keys are."),
    )
    yield File(
        f"{home}/.ssh/authorized_keys",
        "".join(f"{key}\n" for key in wanted.admin_keys),
        mode="600",
        owner=wanted.admin,
        group=wanted.admin,
        about=About("The account opens with these keys and with no password."),
    )
    yield File(
        "/etc/sudoers.d/90-inference",
        f"{wanted.admin} ALL=(ALL) NOPASSWD: ALL\n",
        mode="440",
        then=("visudo -cq",),
        about=About("The account has no password that sudo could ask for: its key is what opens it."),
    )


def _ssh() -> Iterator[Resource]:
    yield File(
        # Read before the distribution's own: the first value of a setting counts.
        "/etc/ssh/sshd_config.d/05-inference.conf",
        render("base/sshd.conf.j2"),
        mode="600",
        then=("sshd -t", "systemctl try-reload-or-restart ssh"),
        about=About("Passwords are guessed all day long; keys are not.", SSHD),
    )


def _updates() -> Iterator[Resource]:
    yield File(
        "/etc/apt/apt.conf.d/52-inference-updates",
        render("base/updates.conf.j2"),
        about=About(
            "Security updates are installed daily. The host never restarts by itself, and the driver of the card is "
            "left out: a new one under a running engine breaks it until the next boot.",
            UPDATES,
        ),
    )
    yield Unit("apt-daily-upgrade.timer", about=About("The timer that installs them."))


def _time(site: Site) -> Iterator[Resource]:
    place = "/etc/systemd/timesyncd.conf.d"
    wanted = site.profile.deploy
    if wanted.ntp_servers:
        yield Folder(place)
        yield File(
            f"{place}/90-inference.conf",
            f"[Time]\nNTP={' '.join(wanted.ntp_servers)}\n",
            then=("systemctl try-restart systemd-timesyncd",),
            about=About("Time servers of the owner's choice.", TIME),
        )
    yield Unit(
        "systemd-timesyncd.service", about=About("Certificates and tokens are refused when the clock is wrong.", TIME)
    )


def _journal(site: Site) -> Iterator[Resource]:
    place = "/etc/systemd/journald.conf.d"
    yield Folder(place, about=About("Where settings of the journal are added."))
    yield File(
        f"{place}/90-inference.conf",
        render("base/journald.conf.j2", largest=site.profile.deploy.journal_max),
        then=("systemctl restart systemd-journald",),
        about=About("The journal outlives a power cut and never fills the disk that models are on.", JOURNAL),
    )


def probes(site: Site) -> list[Probe]:
    """Return the questions to a host that got all this."""
    known = "no" if site.profile.deploy.admin else "absent"
    return [
        Probe(
            "ssh_passwords",
            "SSH takes no passwords",
            "sshd -T 2>/dev/null | grep -i '^passwordauthentication'",
            "passwordauthentication no",
        ),
        Probe("updates", "Security updates are due", "systemctl is-active apt-daily-upgrade.timer", "active"),
        Probe(
            "updates_policy",
            "No restart by itself",
            "apt-config dump Unattended-Upgrade::Automatic-Reboot | cut -d' ' -f2",
            '"false";',
        ),
        Probe("time", "The clock is kept", "systemctl is-active systemd-timesyncd", "active"),
        Probe("journal", "The journal is on disk", "ls -d /var/log/journal/*/ | wc -l", "[1-9][0-9]*"),
        Probe(
            "administrator",
            "The administrator's account has no password",
            f"getent shadow {site.profile.deploy.admin or '-'} 2>/dev/null | cut -d: -f2 | "
            "sed 's/^[!*].*/no/' | grep . || echo absent",
            known,
        ),
    ]
