"""What holds for every file of the project, whatever it is about."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# In pieces, so that this file does not name what no file may name.
REGISTRIES = [
    "py" + "pi.org",
    "py" + "thonhosted.org",
    "regis" + "try.npmjs",
    "cra" + "tes.io",
    "proxy.go" + "lang",
    "--index" + "-url ",
    "--extra-index" + "-url",
    "--find" + "-links",
    "--trusted" + "-host",
]
PLACES = ["/wo" + "rk/main", "/wo" + "rk/shared"]


def tracked() -> list[Path]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git checkout")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def texts() -> dict[str, str]:
    return {str(path.relative_to(ROOT)): path.read_text("utf-8", errors="replace") for path in tracked()}


def modules() -> dict[str, str]:
    return {name: text for name, text in texts().items() if name.endswith(".py")}


@pytest.mark.parametrize("words", [REGISTRIES, PLACES], ids=["registry", "place"])
def test_no_file_says_where_packages_come_from_or_where_it_was_written(words: list[str]) -> None:
    assert not [(name, word) for name, text in texts().items() for word in words if word in text]


def test_the_locks_hold_names_versions_and_hashes_and_no_address() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        lock = (ROOT / name).read_text("utf-8")
        assert "://" not in lock
        for line in lock.splitlines():
            assert re.match(r"[a-z0-9][a-z0-9._-]*(\[[a-z0-9,-]+\])?==|    --hash=sha256:|\s*#|$", line), line


def test_everything_that_runs_is_locked_for_the_tests_in_the_same_version() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9._-]+(?:\[.*?\])?==\S+)", (ROOT / name).read_text("utf-8"), re.MULTILINE))

    assert pins("requirements.lock") <= pins("requirements-dev.lock")


def test_there_is_one_kind_of_lock() -> None:
    assert not {path.name for path in tracked()} & {"uv.lock", "poetry.lock", "Pipfile.lock", "pdm.lock"}


def test_each_module_opens_with_one_sentence() -> None:
    faults = {}
    for name, text in modules().items():
        doc = ast.get_docstring(ast.parse(text)) or ""
        first = doc.partition("\n")[0]
        if not text.startswith('"""'):
            faults[name] = "does not open with a docstring"
        elif not first.endswith((".", "?", "!")):
            faults[name] = "its first line is no whole sentence"
        elif re.search(r"[.?!] [A-Z]", first):
            faults[name] = "its first line is more than one sentence"
    assert not faults


def test_scripts_can_be_run() -> None:
    scripts = [path for path in tracked() if path.parent in (ROOT / "scripts", ROOT / ".ci")]
    assert [path.name for path in scripts if not path.stat().st_mode & 0o100] == []
