"""Decoding speed beside Eole, in paired rounds: the same shape, the same sources, every output exactly 16 symbols.

    python3 -m venv ~/eole && ~/eole/bin/pip install torch eole==0.6.4 aiohttp      # its own environment
    SEQ2X_DATA=... python -m benchmarks.eole RUN --eole ~/eole/bin/eole [--lines 1000] [--rounds 3]

RUN is a seq2x run of the recipe `multi30k-en-de-fast`. Eole trains a Transformer of the same size for a few updates on
the same symbols (its own placement of norms and biases, so the weights cannot be shared and the outputs are not
comparable: length 16 makes it the same work). Its command line is timed on all lines less the time on 40 of them, so
that its start is not counted; seq2x's time includes its tokenisation. Both have the same number of threads.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

import seq2x
from benchmarks import paired
from seq2x.allocator import keep_memory
from seq2x.data import Columns, read
from seq2x.predict import Predictor

LENGTH = 16
FEW = 40

CONFIG = """
save_data: {folder}/data
overwrite: true
seed: 1
src_vocab: {folder}/vocab.txt
tgt_vocab: {folder}/vocab.txt
src_vocab_size: {size}
tgt_vocab_size: {size}
vocab_size_multiple: 1
share_vocab: true
n_sample: 0
data:
    corpus:
        path_src: {folder}/train.src
        path_tgt: {folder}/train.tgt
training:
    model_path: {folder}/model
    keep_checkpoint: 1
    save_checkpoint_steps: 20
    train_steps: 20
    valid_steps: 1000000
    bucket_size: 4096
    num_workers: 0
    prefetch_factor: 0
    world_size: 1
    gpu_ranks: []
    batch_type: tokens
    batch_size: 1024
    batch_size_multiple: 1
    accum_count: [1]
    accum_steps: [0]
    dropout_steps: [0]
    dropout: [0.1]
    attention_dropout: [0.0]
    compute_dtype: fp32
    optim: adam
    learning_rate: 1
    warmup_steps: 1000
    decay_method: noam
    adam_beta2: 0.98
    normalization: tokens
model:
    architecture: transformer
    hidden_size: 256
    share_decoder_embeddings: true
    share_embeddings: true
    layers: 3
    heads: 4
    transformer_ff: 1024
    embeddings:
        word_vec_size: 256
        position_encoding_type: SinusoidalInterleaved
"""


class Eole:
    """A short-trained Eole model in `folder` and its command line `program`."""

    def __init__(self, program: str, folder: Path, run: Predictor, threads: int) -> None:
        self.program, self.folder = program, folder
        self.environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        train = Path(os.environ["SEQ2X_DATA"]) / "mt/multi30k/en-de/train.tsv.gz"
        pairs = list(read([train], Columns("tsv", (1,), (2,), width=2)))[:4096]
        self._write("train.src", [run.task.source_codec.encode(pair.source) for pair in pairs])
        self._write("train.tgt", [run.task.target_codec.encode(pair.targets[0]) for pair in pairs])
        symbols = [f"s{symbol}" for symbol in range(run.task.source_codec.size - 4)]
        (folder / "vocab.txt").write_text("".join(f"{symbol}\t1\n" for symbol in symbols), encoding="utf-8")
        size = run.task.source_codec.size
        (folder / "eole.yaml").write_text(CONFIG.format(folder=folder, size=size), encoding="utf-8")
        self._run("train", "-c", str(folder / "eole.yaml"))

    def decode(self, sources: Sequence[Sequence[int]], beams: int, size: int) -> None:
        """All `sources`, longest first."""
        ordered = sorted(sources, key=len, reverse=True)
        self._write("lines.src", ordered)
        self._run(
            "predict", "-model_path", str(self.folder / "model"), "-src", str(self.folder / "lines.src"),
            "-output", str(self.folder / "lines.out"), "-beam_size", str(beams), "-batch_size", str(size),
            "-batch_type", "sents", "-min_length", str(LENGTH), "-max_length", str(LENGTH), "-max_length_ratio", "0",
            "-compute_dtype", "fp32",
        )  # fmt: skip
        lines = (self.folder / "lines.out").read_text(encoding="utf-8").splitlines()
        lengths = {len(line.split()) for line in lines}
        if len(lines) != len(sources) or lengths != {LENGTH}:
            sys.exit(f"Eole wrote {len(lines)} lines of {sorted(lengths)} symbols: not the same work")

    def _write(self, name: str, sequences: Sequence[Sequence[int]]) -> None:
        text = "".join(" ".join(f"s{symbol}" for symbol in ids) + "\n" for ids in sequences)
        (self.folder / name).write_text(text, encoding="utf-8")

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(
            [self.program, *arguments], env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"eole {arguments[0]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


def ours(run: Predictor, texts: list[str], beams: int, size: int) -> None:
    """All `texts`, by seq2x."""
    found = run(
        texts, details=True, beam_size=beams, batch_size=size, window=len(texts), min_length=LENGTH, max_length=LENGTH
    )
    if {len(prediction.ids) for prediction in found} != {LENGTH}:
        sys.exit("seq2x's outputs have another length: not the same work")


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run")
    parser.add_argument("--eole", default="eole", help="its program")
    parser.add_argument("--lines", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    keep_memory()
    torch.set_num_threads(arguments.threads)
    run = seq2x.load(arguments.run)
    path = Path(os.environ["SEQ2X_DATA"]) / "mt/multi30k/en-de/dev.tsv"
    texts = [line.split("\t")[0] for line in path.read_text(encoding="utf-8").split("\n") if line][: arguments.lines]
    sources = [run.task.source_codec.encode(text) for text in texts]
    print(paired.versions("torch"), f"{arguments.threads} threads", sep=", ")
    with tempfile.TemporaryDirectory() as folder:
        eole = Eole(arguments.eole, Path(folder), run, arguments.threads)
        for beams in (1, 5):
            _compare(run, eole, texts, sources, beams, arguments.rounds)


def _compare(run: Predictor, eole: Eole, texts: list[str], sources: list[list[int]], beams: int, rounds: int) -> None:
    """Rates in batches of 64."""
    few = slice(None, None, len(texts) // FEW)
    ours_rates, eoles = [], []
    for number in range(-1, rounds):
        spent = []
        for sample in (sources[few], sources):
            began = time.perf_counter()
            eole.decode(sample, beams, 64)
            spent.append(time.perf_counter() - began)
        began = time.perf_counter()
        ours(run, texts, beams, 64)
        mine = len(texts) / (time.perf_counter() - began)
        theirs = (len(sources) - len(sources[few])) / (spent[1] - spent[0])
        if number >= 0:  # the first round warms up
            ours_rates.append(mine)
            eoles.append(theirs)
    speed = paired.ratio(ours_rates, eoles)
    print(
        f"beam {beams}, batch 64, {LENGTH} symbols each: lines per second: seq2x {statistics.median(ours_rates):.1f}, "
        f"Eole {statistics.median(eoles):.1f}; seq2x / Eole: {speed}",
        flush=True,
    )


if __name__ == "__main__":
    main()
