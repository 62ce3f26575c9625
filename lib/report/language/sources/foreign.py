"""What in the code is for programs or for the command line, not for a reader of the page."""

import re

# Rooms and files that write nothing for the page: commands, configuration, protocols, planted files, patterns of logs.
SILENT = (
    *("cli.py", "cli_deploy.py", "cli_report.py", "edge/cli.py", "gateway/cli.py", "memory/commands.py", "lab"),
    *("core/execute.py", "core/lock.py", "core/paths.py", "core/progress.py", "core/run.py", "core/secrets.py"),
    *("core/sections", "core/ui.py", "deploy/apply.py", "deploy/rehearsal/snapshot.py", "deploy/resources"),
    *("deploy/ups", "edge/authority.py", "engine/serve/interpreter.py", "engine/serve/log.py", "gateway/app.py"),
    *("gateway/fake_upstream.py", "gateway/metrics.py", "host/mask.py", "memory/evaluate/hostile.py"),
    *("memory/store/database.py", "report/bundle.py", "report/cells.py", "report/compare", "report/describe.py"),
    *("report/language", "report/portable.py", "report/printed.py", "report/reference.py", "report/sanitize.py"),
    *("report/review/commands.py", "report/seal"),
)
_CALLS = (
    "compile search match fullmatch findall finditer sub split rsplit partition rpartition startswith endswith",
    "removeprefix removesuffix replace strip rstrip lstrip encode strftime strptime index find count get pop",
    "setdefault getattr setattr glob rglob open read_text write_text mkdir",
    "echo print Option Argument Typer command option add_argument Field TypeVar Literal NamedTuple namedtuple",
    "run check_output Popen shell call execute exec eval which getenv signal connect headers loads dumps import_module",
    "debug info warning exception log Counter Gauge Histogram Exit HTTPException",
)
# Calls whose arguments are for programs or for the command line, or are raised as an error.
CALL = re.compile(rf"(^|\.)({'|'.join(' '.join(_CALLS).split())}|\w*Error)$")
_PATTERNS = (
    r"\\[wsdSDbnx.(\[]",  # regular expressions
    r"\(\?",
    r"\.\*",
    r"^\^",
    r"\$$",
    r"%\w",
    r"^[\w./{}-]*/[\w./{}-]+$",  # paths, options, names, assignments
    r"^\[?\w[\w-]*\]?=",
    r"^[a-z_][\w.-]*$",
    r"^[A-Z_]+$",
    r"^\w+ = [\w\"/'[{]",
    r"^(?:inference|vllm)-\{",
    r"^\{0\}[/-]",
    r"^C\.UTF",
    r"^rb-",
    r"==|=>|::",
    r"^(?:elif|case|export|umask|mkdir|exec|location|options|usage:|usermod|useradd|rm|mv|cp|cat|echo|runuser|daemon) ",
    r"^(?:if [\[!]|if command|if echo|for \w+ in |test -)",  # shell
    r" 2>|>/dev/null|\$\((?!uname)|\$\{|; do$|; fi$|&& exec |\| sort|^\{0\}(?:echo|sudo| &&)",
    r"^\S+(?: \S+){0,2};$|(?<!\d)\{$|_temp_path ",
    r"^(?:import [\w.]+(?:$|[,;])|from [\w.]+ import|def |if (?:self|left|False)\b|\w+, \w+ = )",  # Python
    r"\w\(\w*[.\[(]",
    r"^[#\[@]|^\{(?!\d)",
    r"^(?:[A-Z]+ TABLE|INSERT INTO|SELECT .* FROM|CREATE |DELETE FROM|UPDATE \w+ SET)| NOT NULL",  # SQL
    r"^(?:HTTP/1|Host:|GET /|POST /|Query:)|</script",  # HTTP, HTML
)
PROGRAM = re.compile("|".join(_PATTERNS))
