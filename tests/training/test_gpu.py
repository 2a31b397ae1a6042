"""What only a GPU can show; skipped where there is none.

CONTRIBUTING says how the contracts and the resume tests run on one, too.
"""

import json

import pytest
import torch
from tests.training.runs import SETTINGS, content, go, pairs

import seq2x
from seq2x.training import loop
from seq2x.training.loop import update

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

MODELS = {
    "transformer": {"precision": "bf16", "ema": 0.9, "dropout": 0.1, "attention_dropout": 0.1},
    "batch-norm": {"norm": "batch", "average_last": 2, "accum_count": 2},
    "gru": {"model": "gru", "precision": "bf16", "dropout": 0.1},
    "lstm-context": {"model": "lstm", "context": "mean", "context_use": "every"},
}


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.parametrize("name", MODELS)
def test_an_update_never_waits_for_the_device(tmp_path, monkeypatch, fast_disk, name):
    """Torch raises at whatever makes the host wait; after the first update, which sets up what is set up once."""
    made = []

    def watched(t, rows):
        torch.cuda.set_sync_debug_mode("error" if made else "default")
        try:
            update(t, rows)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        made.append(rows)

    monkeypatch.setattr(loop, "update", watched)
    go(pairs(tmp_path), tmp_path / "run", device="cuda", **MODELS[name])
    assert len(made) == SETTINGS["max_steps"]


@pytest.mark.parametrize("name", MODELS)
def test_the_same_training_gives_the_same_bits(tmp_path, fast_disk, name):
    """Twice at one go, and once in two sittings."""
    path, changes = pairs(tmp_path), {"device": "cuda", **MODELS[name]}
    for out in ("first", "second"):
        go(path, tmp_path / out, **changes)
    assert content(tmp_path / "first") == content(tmp_path / "second")
    go(path, tmp_path / "third", max_steps=6, **changes)
    go(path, tmp_path / "third", **changes)
    assert content(tmp_path / "third")["last"][2] == content(tmp_path / "first")["last"][2]


@pytest.mark.parametrize("name", MODELS)
def test_what_was_trained_there_answers_alike_here(tmp_path, fast_disk, name):
    """The same run on both devices: the same outputs, and log-probabilities as near as fp32 allows."""
    path = pairs(tmp_path)
    go(path, tmp_path / "run", device="cuda", **MODELS[name])
    texts = [line.split("\t")[0] for line in path.read_text().splitlines()]
    here, there = (seq2x.load(tmp_path / "run", device=device) for device in ("cpu", "cuda"))
    for search in ({"beam_size": 1}, {"beam_size": 4, "n_best": 2}):
        found = [model(texts, details=True, **search) for model in (here, there)]
        assert [p.value for p in found[0]] == [p.value for p in found[1]]
        for a, b in zip(*found, strict=True):
            assert a.log_p == pytest.approx(b.log_p, abs=1e-4)


def test_where_memory_runs_out_micro_batches_are_halved(tmp_path, fast_disk):
    """The device's own memory is bounded so that a large batch does not fit: the training goes on, and says so."""
    path = pairs(tmp_path, lines=4000)
    changes = {"device": "cuda", "batch_tokens": 20000, "width": 256, "feedforward": 4096, "max_steps": 2}
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    go(path, tmp_path / "free", **changes)
    needed, total = torch.cuda.max_memory_reserved(), torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.6 * needed / total)
    try:
        go(path, tmp_path / "bounded", **changes)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "out of memory" in (tmp_path / "bounded" / "log.txt").read_text()
    losses = [
        [json.loads(line).get("loss") for line in (tmp_path / out / "metrics.jsonl").read_text().splitlines()]
        for out in ("free", "bounded")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
