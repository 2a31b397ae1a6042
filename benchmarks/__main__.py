"""`python -m benchmarks`: what there is to measure, and what it needs."""

import importlib.util
import os

MISSING = "" if importlib.util.find_spec("transformers") else "   (transformers is not installed: fewer contenders)"
DATA = "" if os.environ.get("SEQ2X_DATA") else "   (SEQ2X_DATA is not set: no data)"

print(f"""\
python -m benchmarks.training               training speed beside its peers{DATA}{MISSING}
python -m benchmarks.decoding RUN           decoding speed beside transformers, same weights{DATA}{MISSING}
python -m benchmarks.ways RUN TEST.tsv      ways of decoding: quality, variety and time of each on one run
python -m benchmarks.sampled_softmax        an update with the full and with a sampled softmax, by vocabulary size
python -m benchmarks.mechanisms             what each idea costs, in updates and in decoding{DATA}
python -m benchmarks.non_autoregressive     all symbols at once beside one at a time, by batch size
python -m benchmarks.before COMMIT          this state beside another: the same work, the same outputs{DATA}
python -m benchmarks.check_cost             time and memory of check, store and start-up by corpus size

Results, with commands and versions: benchmarks/results.md""")
