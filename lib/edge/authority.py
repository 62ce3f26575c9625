"""Who issues certificates in the lab: openssl with a key in memory only, and an ACME server that it vouches for."""

from datetime import UTC, datetime, timedelta

from lib.core.sections.bastion import Acme, Bastion
from lib.lab.netns.space import Space

FOLDER = "/mnt/ca"
ACME_HOSTNAME, ACME_PORT = "acme.example.net", 14000
ACME_TRUST = "/etc/inference/acme-ca.pem"
# What `openssl ca` needs to be told; unlike `openssl x509` it lets both ends of a certificate's time be chosen.
CONFIG = f"""\
[ca]
default_ca = lab
[lab]
database = {FOLDER}/index.txt
new_certs_dir = {FOLDER}/issued
rand_serial = yes
unique_subject = no
certificate = {FOLDER}/ca.pem
private_key = {FOLDER}/ca.key
default_md = sha256
policy = named
[named]
commonName = supplied
"""


def at_lab(bastion: Bastion) -> Bastion:
    """Return the bastion as the lab has it: the same in all but whom it asks for certificates."""
    asked = Acme(directory=f"https://{ACME_HOSTNAME}:{ACME_PORT}/dir", trust=ACME_TRUST)
    return bastion.model_copy(update={"acme": asked})


class Authority:
    """Issues certificates that the lab's clients trust, and nobody else does.

    Parameters
    ----------
    space : Space
        Where its key lies, on a file system in memory that ends with the space.
    """

    def __init__(self, space: Space) -> None:
        self._space = space

    def start(self) -> None:
        """Make the root."""
        self._space.run(["sh", "-c", f"mkdir -p {FOLDER}/issued; cat > {FOLDER}/ca.cnf"], feed=CONFIG)
        subject = "/CN=Lab root, trusted by nobody"
        self._sh(
            f"umask 077; cd {FOLDER}; touch index.txt; openssl ecparam -name prime256v1 -genkey -noout -out ca.key; "
            f"openssl req -x509 -new -key ca.key -days 2 -subj '{subject}' -out ca.pem "
            "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign"
        )

    @property
    def certificate(self) -> str:
        """The root's certificate, PEM."""
        return self._sh(f"cat {FOLDER}/ca.pem")

    def issue(self, hostname: str, days: float = 90) -> tuple[str, str]:
        """Return certificate chain and private key for a name, PEM; negative days have passed already."""
        begin, end = (_moment(when) for when in (min(0, days) - 1, days))
        self._sh(
            f"umask 077; cd {FOLDER}; openssl ecparam -name prime256v1 -genkey -noout -out leaf.key; "
            f"openssl req -new -key leaf.key -subj '/CN={hostname}' -out leaf.csr; "
            f"printf 'subjectAltName=DNS:{hostname}\\nextendedKeyUsage=serverAuth\\n' > leaf.ext; "
            f"openssl ca -batch -notext -config ca.cnf -in leaf.csr -startdate {begin} -enddate {end} "
            "-extfile leaf.ext -out leaf.pem 2>/dev/null"
        )
        return self._sh(f"cat {FOLDER}/leaf.pem"), self._sh(f"cat {FOLDER}/leaf.key")

    def _sh(self, script: str) -> str:
        return self._space.run(["sh", "-c", f"set -e; {script}"]).stdout


def _moment(days: float) -> str:
    """Return the time in so many days, as openssl writes it."""
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%y%m%d%H%M%SZ")
