"""The wheel as a user gets it: built, installed without its dependencies into a fresh environment, used; and the source
archive, which has to hold the whole project.

Run by `make test`: `python tests/wheel.py`. Needs no network: a `.pth` file lends the fresh environment
the dependencies that are already installed here.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
STORED = ROOT / "tests" / "data" / "runs" / "v1"


def main() -> None:
    """Build, install, run `doctor`, predict with a stored run; any failure ends with a message and exit code 1."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.rmtree(ROOT / "build", ignore_errors=True)  # setuptools would take up modules that are no more
        _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT))
        (wheel,) = folder.glob("*.whl")
        fresh = folder / "fresh"
        venv.create(fresh, with_pip=False)
        python = fresh / "bin" / "python"
        _run(sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel))
        (site,) = (fresh / "lib").glob("python*/site-packages")
        (site / "lent.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")

        where = _run(str(python), "-c", "import seq2x; print(seq2x.__file__)", cwd=folder)
        if not where.startswith(str(fresh)):
            sys.exit(f"the wheel is not what was imported: {where}")
        print(_run(str(fresh / "bin" / "seq2x"), "doctor", cwd=folder))
        expected = json.loads((STORED / "expected.json").read_text(encoding="utf-8"))
        found = _run(
            str(fresh / "bin" / "seq2x"), "predict", str(STORED / "run"), cwd=folder,
            stdin="".join(f"{line['source']}\n" for line in expected),
        )  # fmt: skip
        if found.split("\n")[:-1] != [line["text"] for line in expected]:
            sys.exit(f"the stored run predicts something else: {found!r}")
        _check_source(folder)
        print(f"the wheel {wheel.name} installs, passes doctor and predicts as stored")


def _check_source(folder: Path) -> None:
    """The sdist holds every file that git knows (or, where this is no checkout, the tests with their data)."""
    _run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", str(folder), str(ROOT))
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        held = {name.partition("/")[2] for name in tar.getnames()}
    known = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    wanted = set(known.stdout.split("\n")[:-1]) - {".gitignore", ".gitattributes"}
    wanted |= {"tests/data/runs/v1/expected.json", "Makefile", "CHANGELOG.md", "docs/tour.md"}
    wanted = {name for name in wanted if (ROOT / name).is_file()}
    if missing := sorted(wanted - held):
        sys.exit(f"the source archive lacks {len(missing)} files: {', '.join(missing[:5])}")
    print(f"the source archive {archive.name} holds all {len(wanted)} files of the project")


def _run(*command: str, cwd: Path = ROOT, stdin: str = "") -> str:
    done = subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
