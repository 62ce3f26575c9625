"""What the kernel needs to load NVIDIA's module: no nouveau, a signature that Secure Boot accepts, headers for DKMS."""

from lib.core.evidence import Check
from lib.host.probe import Host

SECURE_BOOT_SOURCE = "https://manpages.ubuntu.com/manpages/noble/en/man1/mokutil.1.html"


def checks(host: Host, *, loaded: bool) -> list[Check]:
    """Check what can keep NVIDIA's module from loading.

    Parameters
    ----------
    loaded : bool
        Whether the module runs: then its signature was accepted.
    """
    return [_nouveau(host), _secure_boot(host, loaded=loaded), _headers(host)]


def names(text: str) -> set[str]:
    """Return the names of the loaded modules from ``/proc/modules``."""
    return {line.split()[0] for line in text.splitlines() if line.strip()}


def _nouveau(host: Host) -> Check:
    there = "nouveau" in names(host.read("/proc/modules") or "")
    return Check(
        name="driver.nouveau",
        title="The nouveau driver stays away",
        status="fail" if there else "pass",
        expected="not loaded",
        observed="loaded" if there else "not loaded",
        fix="printf 'blacklist nouveau\\noptions nouveau modeset=0\\n' | "
        "sudo tee /etc/modprobe.d/blacklist-nouveau.conf\nsudo update-initramfs -u && sudo reboot",
    )


def _secure_boot(host: Host, *, loaded: bool) -> Check:
    answer = host.run("mokutil", "--sb-state")
    on = "SecureBoot enabled" in answer.out
    off = not on and ("SecureBoot disabled" in answer.out or not host.glob("/sys/firmware/efi/*"))
    if not on and not off:
        return Check(
            name="driver.secure_boot",
            title="Secure Boot",
            status="pass" if loaded else "skip",
            expected="off, or NVIDIA's module signed with an enrolled key",
            observed="state unknown" + ("; the module runs, so it does not stand in the way" if loaded else ""),
            fix="sudo apt-get install mokutil && mokutil --sb-state",
            source=SECURE_BOOT_SOURCE,
        )
    installed = host.run("modinfo", "-F", "filename", "nvidia").ok
    state = "the module runs: its key is enrolled" if loaded else "the module does not run"
    return Check(
        name="driver.secure_boot",
        title="Secure Boot",
        status="pass" if loaded or off else "fail" if installed else "warn",
        expected="off, or NVIDIA's module signed with an enrolled key",
        observed="off" if off else f"on; {state if installed or loaded else 'no module is installed yet'}",
        fix="sudo update-secureboot-policy --new-key\n"
        "sudo mokutil --import /var/lib/shim-signed/mok/MOK.der && sudo reboot\n"
        "At the blue screen choose Enroll MOK; it needs keyboard and display at the machine. Or turn Secure Boot off "
        "in the firmware.",
        source=SECURE_BOOT_SOURCE,
    )


def _headers(host: Host) -> Check:
    kernel = (host.read("/proc/sys/kernel/osrelease") or "").strip()
    path = host.run("modinfo", "-F", "filename", "nvidia")
    title, expected = "Kernel headers for DKMS", f"headers of {kernel}, if DKMS builds the module"
    if not path.ok:
        return Check(
            name="driver.headers",
            title=title,
            status="skip",
            expected=expected,
            observed="no NVIDIA module is installed for this kernel",
            fix='sudo apt-get install "linux-headers-$(uname -r)"  before the driver, if it comes through DKMS',
        )
    built = "/dkms/" in path.out
    there = bool(host.glob(f"/usr/src/linux-headers-{kernel}/Makefile"))
    return Check(
        name="driver.headers",
        title=title,
        status="pass" if there or not built else "warn",
        expected=expected,
        observed=f"{'there' if there else 'missing'}; the module {'is built by DKMS' if built else 'comes ready-made'}",
        fix='sudo apt-get install "linux-headers-$(uname -r)" linux-headers-generic-hwe-24.04  '
        "(without them the next kernel boots without the driver)",
        source="https://packages.ubuntu.com/noble/kernel/linux-generic-hwe-24.04",
    )
