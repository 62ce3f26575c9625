"""Everything on a host that a deploy could change, as lines; two snapshots that are equal mean that nothing is left."""

from collections.abc import Sequence

from lib.deploy.target import Target

# What changes by itself, or is a log of what was done rather than a setting. Everything else counts.
VOLATILE = (
    "/etc/.pwd.lock",  # the lock of the account files, empty
    "/etc/group-",  # the account tools' copies of the state before their last change
    "/etc/gshadow-",
    "/etc/passwd-",
    "/etc/shadow-",
    "/etc/subgid-",
    "/etc/subuid-",
    "/etc/ld.so.cache",
    "/etc/mtab",
    "/usr/share/mime",
    "/var/lib/apt",  # lists and the log of automatic marks; packages and marks are compared by themselves
    "/var/lib/dpkg",
    "/var/lib/logrotate",
    "/var/lib/private/systemd/journal-upload",
    "/var/lib/ucf/*.[0-9]",  # ucf's copies of its own registry before its last changes; the registry counts
    "/var/lib/systemd",  # random seed, clock, stamps of timers
    "/var/lib/pam/seen",
    "/var/lib/chrony",
    "/var/lib/inference-runbook",  # compared by itself: it must be gone
)
_PRUNE = " -o ".join(f"-path '{path}'" for path in VOLATILE)
_FOLDERS = "/etc /usr /opt /srv /home /root /var/lib /var/spool /var/www"
# They run at the first boot of an image alone: an untouched twin no longer has them after a power cut.
_FIRST_BOOT = "ldconfig|systemd-journal-catalog-update|systemd-sysusers"
# The kernel computes the largest buffer from the memory that is free at boot, 32 bytes a page, up to a fixed cap
# (tcp_init in net/ipv4/tcp.c): below the cap it is another number after every boot.
BUFFERS = r"""awk '
    /^net\.ipv4\.tcp_[rw]mem/ && $5 < ($1 ~ /rmem/ ? 6291456 : 4194304) { $5 = "of-free-memory" }
    { print }'"""
SCRIPT = f"""
for root in {_FOLDERS}; do
    [ -d "$root" ] || continue
    find "$root" -xdev \\( {_PRUNE} -o -name __pycache__ \\) -prune -o \\
        -printf 'file %p %y %m %U:%G %l\\n'
done
find /etc /opt/inference /usr/local /home /root /srv -xdev \\( {_PRUNE} \\) -prune -o -type f -print0 2>/dev/null |
    xargs -0 -r sha256sum | sed 's/^/content /'
dpkg-query -W -f='package ${{Package}} ${{Version}} ${{db:Status-Abbrev}}\\n'
awk '/^Package:/ {{ p = $2 }} /^Auto-Installed: 1/ {{ print "automatic", p }}' /var/lib/apt/extended_states 2>/dev/null
systemctl list-unit-files --no-legend --no-pager | awk '{{print "unit", $1, $2}}'
systemctl list-units --all --no-legend --no-pager --plain --type=service,timer,socket,mount,path --state=active |
    awk '{{print "active", $1}}' |
    grep -vE 'session-|user@|user-runtime|ssh@|apt-daily|\\.scope|systemd-(update|tmpfiles-clean)' |
    grep -vE '^active ({_FIRST_BOOT})\\.service$'
sysctl -a 2>/dev/null | grep -E '^(vm|net\\.(core|ipv4\\.(conf|tcp|ip_forward))|kernel\\.(sched|numa|panic))' |
    grep -vE 'drop_caches|stat_refresh|random|hostname|rto|fastopen_key|_seed|compact_memory|tcp_mem|sched_domain' |
    {BUFFERS} |
    sed 's/^/sysctl /'
for f in /sys/kernel/mm/transparent_hugepage/enabled; do echo "value $f $(cat $f)"; done
nft list ruleset 2>/dev/null | sed 's/^/nft /'
getent passwd | sed 's/^/account /'
getent group | sed 's/^/group /'
systemctl show -p DefaultLimitNOFILE | sed 's/^/manager /'
[ -e /var/lib/inference-runbook ] && echo 'record /var/lib/inference-runbook'
[ -e /run/inference-runbook.lock ] && echo 'lock /run/inference-runbook.lock'
true
"""


def take(target: Target) -> list[str]:
    """Return the lines of a host, sorted."""
    return sorted(set(target.run(SCRIPT, timeout=300).splitlines()))


def failed(target: Target) -> set[str]:
    """Return the units of a host that have failed."""
    listed = target.run("systemctl list-units --failed --all --plain --no-legend --no-pager")
    return {line.split()[0] for line in listed.splitlines() if line.strip()}


def difference(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """Return what came (+) and what went (-)."""
    came, went = set(after) - set(before), set(before) - set(after)
    return sorted([f"+{line}" for line in came] + [f"-{line}" for line in went], key=lambda line: line[1:])
