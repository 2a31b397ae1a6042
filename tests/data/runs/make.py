"""Makes the stored run of a new version of the format: `python tests/data/runs/make.py v2`.

A tiny model (a GRU with attention, characters) is trained to write short strings backwards; what is kept is its `best/`
as `vN/run/` and what it says of ten lines as `vN/expected.json`. A folder that exists is never written again: runs of
every version that was released must load and say the same for ever (`tests/test_stored_runs.py`). So run this once,
when the format of a run folder has changed, and commit what it makes.
"""

import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

import seq2x

HERE = Path(__file__).parent
LETTERS = "abcdeé你好世界 "
LINES = ["abc", "edcba", "a", "你好", "世界你好", "a你b好c", "éa é", "dd", "世é界d", "zz"]
SETTINGS = {
    "model": "gru", "units": "char", "joint_vocab": True, "layers": 1, "width": 16, "dropout": 0.0,
    "label_smoothing": 0.0, "max_steps": 500, "valid_steps": 100, "batch_tokens": 600, "learning_rate": 0.01,
    "warmup_steps": 30, "valid_size": 40, "probe": False, "device": "cpu", "threads": 1, "precision": "fp32", "seed": 1,
}  # fmt: skip


def main(version: str) -> None:
    """Train, copy, and write down what it says."""
    target = HERE / version
    target.mkdir()  # fails if it is there
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "backwards.tsv"
        data.write_text("".join(f"{text}\t{text[::-1]}\n" for text in texts(400)), encoding="utf-8")
        seq2x.train(data, out=Path(folder) / "run", settings=SETTINGS)
        shutil.copytree(Path(folder) / "run" / "best", target / "run")
    found = seq2x.load(target / "run", "cpu")(LINES, details=True)
    expected = [
        {"source": line, "text": one.value, "log_p": one.log_p, "ids": list(one.ids)}
        for line, one in zip(LINES, found, strict=True)
    ]
    rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in expected)
    (target / "expected.json").write_text(f"[\n{rows}\n]\n", encoding="utf-8")


def texts(count: int) -> list[str]:
    """Short strings, drawn as ever; blanks stand inside only."""
    draw = random.Random(1)
    found = (("".join(draw.choices(LETTERS, k=draw.randint(1, 6)))).strip() for _ in range(2 * count))
    return [text for text in found if text][:count]


if __name__ == "__main__":
    main(sys.argv[1])
