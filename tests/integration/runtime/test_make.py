"""`make run`: signals reach the product, whoever they are sent to; installing needs the network only once."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

PRODUCT = """#!/bin/sh
# Stands in for the product: takes half a second to stop, and must be asked, not killed.
trap 'sleep 0.5; echo clean >> stopped; exit 0' TERM INT
echo started > started
while :; do sleep 0.05; done
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Makefile with a product that only notes how it ends."""
    folder = tmp_path / "a checkout"
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".ci").mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    for path, text in ((folder / ".ci/install", "#!/bin/sh\n"), (folder / ".venv/bin/lead-router", PRODUCT)):
        path.write_text(text)
        path.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("sign", "to"),
    # make hands SIGTERM on by itself; SIGINT it takes as typed in a terminal, which sends it to the whole group.
    [(signal.SIGTERM, "group"), (signal.SIGTERM, "make alone"), (signal.SIGINT, "group")],
)
def test_a_signal_stops_the_product_clean(checkout: Path, sign: signal.Signals, to: str) -> None:
    make = subprocess.Popen(
        ["make", "run"],
        cwd=checkout,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # A shell that runs the tests in the background has SIGINT ignored, and children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 no threads of ours hold a lock
    )
    end = time.monotonic() + 60
    while not (checkout / "started").exists() and time.monotonic() < end:
        time.sleep(0.02)
    if to == "group":
        os.killpg(make.pid, sign)
    else:
        make.send_signal(sign)
    make.wait(60)
    # make waits for what it started: when it is gone, the product has stopped, and stopped clean.
    assert (checkout / "stopped").read_text() == "clean\n"
    with pytest.raises(ProcessLookupError):
        os.killpg(make.pid, 0)


def fake_pip(checkout: Path) -> Path:
    """A Python that notes when pip is asked to install, and does nothing."""
    python = checkout / ".venv/bin/python"
    python.write_text(
        f"""#!/bin/sh
case "$*" in
  *"pip install"*) echo "$*" >> {checkout.parent}/installs; [ ! -e {checkout.parent}/offline ]; exit ;;
esac
exec {sys.executable} "$@"
"""
    )
    python.chmod(0o755)
    return python


def test_installing_happens_only_when_the_pins_have_changed(checkout: Path) -> None:
    for name in ("install", "lead-router"):
        shutil.copy(ROOT / ".ci" / name, checkout / ".ci" / name)
    for name in ("requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, checkout / name)
    (checkout / ".venv/bin/lead-router").unlink()
    fake_pip(checkout)
    installs, offline = checkout.parent / "installs", checkout.parent / "offline"

    def install(what: str) -> int:
        return subprocess.run(
            [checkout / ".ci/install", what], check=False, stderr=subprocess.DEVNULL, timeout=60
        ).returncode

    assert install("run") == 0
    assert installs.read_text().count("--require-hashes -r requirements.txt") == 1
    assert os.access(checkout / ".venv/bin/lead-router", os.X_OK)
    offline.touch()
    os.utime(checkout / "requirements.txt")  # a new time is no new content
    assert install("run") == 0
    assert installs.read_text().count("\n") == 1
    assert install("dev") == 1  # needs the network, has none: says so, and next time tries again
    offline.unlink()
    assert install("dev") == 0
    assert installs.read_text().count("requirements-dev.txt") == 2
    with (checkout / "requirements.txt").open("a") as file:
        file.write("# changed\n")
    assert install("run") == 0
    assert installs.read_text().count("-r requirements.txt") == 2
    assert install("nonsense") == 2


def test_an_old_python_is_told_plainly(checkout: Path) -> None:
    shutil.copy(ROOT / ".ci/install", checkout / ".ci/install")
    shutil.rmtree(checkout / ".venv")
    tools = checkout.parent / "tools"
    tools.mkdir()
    for name in ("sh", "dirname", "env"):
        os.symlink(shutil.which(name) or name, tools / name)
    old = tools / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2"\nexit 1\n')
    old.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", checkout / ".ci/install", "run"],
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr
    assert "Python 3.9.2" in done.stderr
    assert not (checkout / ".venv").exists()
