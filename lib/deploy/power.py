"""Mains and UPS on a host: NUT, the program that runs on its events, the order of boot, and the engines' watchdog."""

from collections.abc import Iterator
from pathlib import Path

from lib.deploy.resources import Account, File, Folder, Packages, Resource, Secret, Unit
from lib.deploy.resources.base import About
from lib.deploy.site import Probe, Site
from lib.deploy.template import render
from lib.deploy.ups import files, outage
from lib.deploy.ups.files import Engine, Place
from lib.deploy.ups.filled import MARK, Filled

NUT = "https://networkupstools.org/docs/man/upsmon.conf.html"
UNITS = "/etc/systemd/system"
PASSWORD = f"{files.FOLDER}/nut.secret"
# A twin has no UPS: there NUT's own stand-in reads this file.
STAGED = f"{files.FOLDER}/ups.dev"
WATCHDOG = "inference-engine-watchdog.service"
HOME = "/opt/inference"
WITH_PASSWORD = ("upsd.users", "upsmon.conf")


def resources(site: Site) -> list[Resource]:
    """Return what a host with a UPS gets; without one, its watchdog alone."""
    found = list(_watchdog(site)) if site.services else []
    return [*_nut(site), *_boot(site), *found] if site.profile.host.ups else found


def _nut(site: Site) -> Iterator[Resource]:
    p = site.profile.power_supply
    yield Account("nut", "/var/lib/nut", about=About("NUT's own; its packages would make it and leave it behind."))
    yield Packages(("nut-server", "nut-client"), about=About("Reads the UPS, and shuts the host down in time.", NUT))
    yield Folder(files.FOLDER, about=About("The program of power cuts, and its settings."))
    yield Secret(
        PASSWORD,
        make="head -c 24 /dev/urandom | base64 -w0 | tr '+/' '-_'",
        about=About("Whoever knows it may shut the host down, so nobody but root does."),
    )
    yield File(
        files.OUTAGE,
        Path(outage.__file__).read_text(),
        mode="755",
        about=About("What is done on NUT's events: one file, which needs nothing of the runbook."),
    )
    yield File(files.SETTINGS, _settings(site), about=About("Its settings: engines, times, whom to tell."))
    if site.lab:
        yield File(STAGED, "ups.status: OL\nbattery.charge: 100\nbattery.runtime: 900\nups.load: 40\n")
    for name, text in files.nut(p, _place(site)).items():
        about = About("Rendered from the profile.", NUT)
        path = f"/etc/nut/{name}"
        if name in WITH_PASSWORD:
            yield Filled(path, text, mode="640", group="nut", secret=PASSWORD, about=about)
        else:
            yield File(path, text, mode="640", group="nut", about=about)
    yield Unit(f"nut-driver@{p.ups}.service", reads=("/etc/nut/ups.conf",), about=About("The UPS's driver."))
    read = tuple(f"/etc/nut/{name}" for name in ("ups.conf", "upsd.conf", "upsd.users"))
    yield Unit("nut-server.service", reads=read, about=About("Answers on this host alone."))
    read = tuple(f"/etc/nut/{name}" for name in ("upsmon.conf", "upssched.conf"))
    yield Unit("nut-monitor.service", reads=(*read, PASSWORD), about=About("Watches, and shuts down."))


def _boot(site: Site) -> Iterator[Resource]:
    for name in ("ready", "back"):
        yield File(
            f"{UNITS}/inference-power-{name}.service",
            render(f"nut/{name}.service.j2", outage=files.OUTAGE),
            about=About("After a cut the battery is empty: a second one must not meet a host that just loads a model."),
        )
    for service in site.services:
        folder = f"{UNITS}/vllm-{service.model}.service.d"
        yield Folder(folder, about=About("Where settings of the engine's unit are added."))
        yield File(f"{folder}/power.conf", render("nut/engine.conf.j2"), about=About("Engines wait for the battery."))
    # Enabled for the next boot; now requests are admitted, and stay so.
    for name in ("ready", "back"):
        yield Unit(f"inference-power-{name}.service", running=None, about=About("At every boot."))


def _watchdog(site: Site) -> Iterator[Resource]:
    yield File(
        f"{UNITS}/{WATCHDOG}",
        render("systemd/inference-engine-watchdog.service.j2", profile=site.profile.name, home=HOME),
        about=About("A hung engine has a process and an open port: only a completion shows whether it works."),
    )
    yield Unit(
        WATCHDOG,
        running=None if site.lab else True,
        reads=(f"{UNITS}/{WATCHDOG}",),
        about=About("Asks the engines, and acts when none answers."),
    )


def _place(site: Site) -> Place:
    p = site.profile.power_supply
    driver, port = ("dummy-ups", STAGED) if site.lab else (p.driver, p.port)
    return Place(driver=driver, port=port, secret=MARK)


def _settings(site: Site) -> str:
    gateway = site.profile.gateway
    engines = [
        Engine(
            service.model,
            f"http://127.0.0.1:{service.port}",
            service.model,
            ["systemctl", "stop", f"vllm-{service.model}.service"],
        )
        for service in site.services
    ]
    return files.settings(
        site.profile.power_supply, _place(site), engines, gateway.holds, f"http://127.0.0.1:{gateway.port}", {}
    )


def probes(site: Site) -> list[Probe]:
    """Return the questions to a host with a UPS: NUT answers, the secret is nobody's, boot waits for the battery."""
    if not site.profile.host.ups:
        return []
    name = site.profile.power_supply.ups
    return [
        Probe("ups", "The UPS answers and has mains", f"upsc {name}@127.0.0.1 ups.status", "OL.*"),
        Probe("monitor", "NUT's monitor runs", "systemctl is-active nut-monitor.service", "active"),
        Probe("secret", "NUT's password is root's", f"stat -c '%a %U' {PASSWORD}", "600 root"),
        Probe("users", "NUT's users are not readable by others", "stat -c '%a %G' /etc/nut/upsd.users", "640 nut"),
        Probe("outage", "The program of power cuts runs", f"{files.OUTAGE} 2>&1 | cut -c1-13", "usage: outage"),
        Probe("boot", "Engines wait for the battery", "systemctl is-enabled inference-power-ready.service", "enabled"),
    ]
