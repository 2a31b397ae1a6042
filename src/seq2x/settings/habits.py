"""What other toolkits call things, so that a habit is answered with the name it has here.

Collected from JoeyNMT, OpenNMT-py, Eole, fairseq, Sockeye, Marian, CTranslate2, Hugging Face and ESPnet, and from
the arguments of `torch.nn.Transformer`.
"""

from __future__ import annotations

import re

__all__ = ["habit"]

_SAME = {
    "beam_size": "beam beams num_beams beam_width k_best",
    "n_best": "nbest nbest_size num_hypotheses num_return_sequences",
    "coverage_beta": "coverage_penalty coverage beta",
    "eos_gamma": "eos_norm eos_penalty gamma",
    "length_alpha": "beam_alpha lenpen normalize alpha length_penalty_alpha",
    "max_length": "max_output_length max_decoding_length max_new_tokens max_len max_tokens_out maxlen",
    "min_length": "min_decoding_length min_new_tokens min_len min_output_length",
    "no_repeat_ngram_size": "block_ngram_repeat ngram_block",
    "sample": "do_sample sampling output_sampling random_sampling",
    "top_k": "sampling_topk random_sampling_topk topk",
    "top_p": "sampling_topp random_sampling_topp topp nucleus",
    "temperature": "sampling_temperature random_sampling_temp softmax_temperature",
    "batch_tokens": "max_tokens mini_batch_words batch_bins tokens_per_batch",
    "accum_count": "update_freq gradient_accumulation_steps batch_multiplier accum_grad optimizer_delay",
    "learning_rate": "lr learn_rate initial_learning_rate",
    "lr_scheduler": "scheduling decay_method lr_scheduler_type scheduler learning_rate_scheduler_type schedule",
    "warmup_steps": "warmup learning_rate_warmup warmup_updates lr_warmup num_warmup_steps",
    "max_grad_norm": "clip_norm clip_grad_norm grad_clip gradient_clipping_threshold clip",
    "crf": "use_crf crf_layer add_crf",
    "em_steps": "em_iterations em_iter n_iter baum_welch_iterations",
    "unlabelled": "unlabeled unlabeled_data unlabelled_data",
    "hmm_order": "ngram_order markov_order",
    "task": "task_name task_type",
    "label_smoothing": "label_smoothing_factor lsm_weight smoothing",
    "valid_steps": "validation_freq eval_steps valid_freq checkpoint_interval validate_interval_updates",
    "valid_metric": "early_stopping_metric best_checkpoint_metric metric_for_best_model eval_metric optimized_metric",
    "early_stopping": "patience max_num_checkpoint_not_improved early_stopping_patience",
    "max_steps": "train_steps max_update max_updates updates num_train_steps steps",
    "seed": "random_seed manual_seed",
    "layers": "num_layers n_layers num_hidden_layers depth",
    "encoder_layers": "enc_layers num_encoder_layers encoder_depth enc_depth",
    "decoder_layers": "dec_layers num_decoder_layers decoder_depth dec_depth",
    "width": "d_model hidden_size dim dim_model model_dim rnn_size hidden hidden_dim hidden_units",
    "embedding_width": "emb_dim embedding_dim word_vec_size dim_emb embed_dim emb_size embedding_size",
    "heads": "nhead num_heads n_heads num_attention_heads attention_heads transformer_heads",
    "feedforward": "ff_size d_ff dim_feedforward transformer_ff ffn_dim feed_forward feedforward_dim ff_dim",
    "dropout": "hidden_dropout dropout_rate dropout_prob drop resid_dropout hidden_dropout_prob",
    "attention_dropout": "attn_dropout attention_probs_dropout_prob transformer_dropout_attention",
    "bidirectional": "brnn bidir birnn",
    "input_feeding": "input_feed",
    "attention": "global_attention attention_type attn",
    "attention_history": "coverage_attn coverage_attention",
    "coverage_loss": "lambda_coverage coverage_loss_weight",
    "guided_attention": "guided_attention_loss guided_attn_loss use_guided_attn_loss",
    "norm_position": "layer_norm normalize_before pre_norm",
    "activation": "activation_fn pos_ffn_activation_fn hidden_act",
    "positions": "position_encoding positional_encoding pos_emb position_encoding_type",
    "tied": "tied_embeddings share_all_embeddings share_decoder_embeddings tie_word_embeddings weight_tying",
    "joint_vocab": "share_vocab joined_dictionary joint_vocabulary shared_vocab",
    "vocab_size": "voc_limit n_symbols src_vocab_size tgt_vocab_size max_vocab dim_vocabs num_words",
    "units": "level tokenizer tokenizer_type tokenization subword",
    "lower": "lowercase do_lower_case lowercase_text",
    "subword_dropout": "bpe_dropout subword_alpha",
    "max_source_length": "src_seq_length max_source_positions max_src_len max_sent_length src_max_length",
    "max_target_length": "tgt_seq_length max_target_positions max_tgt_len tgt_max_length trg_max_length",
    "average_last": "average_checkpoints average num_checkpoints avg_last average_decay_last",
    "ema": "exponential_smoothing average_decay ema_decay moving_average_decay",
    "weight_decay": "wd l2",
    "device": "gpu gpus gpuid use_cuda cuda devices world_size gpu_ranks",
    "threads": "num_threads cpu_threads intra_threads omp_num_threads",
    "valid": "dev valid_data dev_data validation valid_sets validation_file valid_src valid_tgt",
    "model": "arch architecture encoder_type decoder_type rnn_type model_type cell_type",
    "adam_beta1": "adam_beta_1 beta1",
    "adam_beta2": "adam_beta_2 beta2",
}
_HERE = {alias: name for name, aliases in _SAME.items() for alias in aliases.split()}

_TOLD = {
    "fp16": 'is precision = "bf16" or "fp32" here (fp16 is not offered)',
    "bf16": 'is precision = "bf16" here',
    "amp": 'is precision = "bf16" here',
    "use_amp": 'is precision = "bf16" here',
    "dtype": 'is precision = "bf16" or "fp32" here',
    "compute_dtype": 'is precision = "bf16" or "fp32" here',
    "epochs": "is not a setting: training is counted in updates (max_steps) and ends by early_stopping",
    "max_epoch": "is not a setting: training is counted in updates (max_steps) and ends by early_stopping",
    "max_epochs": "is not a setting: training is counted in updates (max_steps) and ends by early_stopping",
    "num_train_epochs": "is not a setting: training is counted in updates (max_steps) and ends by early_stopping",
    "batch_type": "is not a setting: a training batch is measured in target tokens (batch_tokens)",
    "train_batch_size": "is batch_tokens here, in target tokens; batch_size counts the sentences decoded together",
    "per_device_train_batch_size": "is batch_tokens here, in target tokens, over all devices",
    "mini_batch": "is batch_tokens here, in target tokens",
    "src": "is the first column of the file, or the first of two files; see columns",
    "tgt": "is the second column of the file, or the second of two files; see columns",
    "trg": "is the second column of the file, or the second of two files; see columns",
    "source": "is the first column of the file, or the first of two files; see columns",
    "target": "is the second column of the file, or the second of two files; see columns",
    "optimizer": "is always AdamW here: adam_beta1, adam_beta2, weight_decay",
    "optim": "is always AdamW here: adam_beta1, adam_beta2, weight_decay",
    "unk": "has no setting: nothing is unknown, bytes stand in (see unknown)",
    "replace_unk": "has no setting: nothing is unknown, bytes stand in (see unknown)",
    "max_len_a": "has no setting: the limit grows with the input by itself; max_length is a fixed one",
    "max_length_ratio": "has no setting: the limit grows with the input by itself; max_length is a fixed one",
    "maxlenratio": "has no setting: the limit grows with the input by itself; max_length is a fixed one",
    "save_steps": "has no setting: saved at each validation (valid_steps) and every save_seconds",
    "save_freq": "has no setting: saved at each validation (valid_steps) and every save_seconds",
    "save_checkpoint_steps": "has no setting: saved at each validation (valid_steps) and every save_seconds",
    "keep_best": "has no setting: best/ holds the best, last/ the last two",
    "keep_best_ckpts": "has no setting: best/ holds the best, last/ the last two",
    "model_dir": "is the folder given with --out",
    "output_dir": "is the folder given with --out",
    "save_dir": "is the folder given with --out",
    "save_model": "is the folder given with --out",
    "model_path": "is the folder given with --out",
    "load_model": "is --from RUN",
    "train_from": "is --from RUN",
    "resume": "is not a setting: training into an existing run resumes it",
    "resume_from_checkpoint": "is not a setting: training into an existing run resumes it",
    "share_embeddings": 'is tied = "all" here (with joint_vocab = true)',
    "prefix": "is not a setting but an argument of predict: --prefix TEXT, run(texts, prefix=...)",
    "tgt_prefix": "is --prefix TEXT of predict here, run(texts, prefix=...) in Python",
    "target_prefix": "is --prefix TEXT of predict here, run(texts, prefix=...) in Python",
    "prefix_size": "is --prefix TEXT of predict here, run(texts, prefix=...) in Python",
    "forbid": "is not a setting but an argument of predict: --forbid TOKEN, run(texts, forbid=[...])",
    "suppress_tokens": "is --forbid TOKEN of predict here, run(texts, forbid=[...]) in Python",
    "suppress_sequences": "is --forbid TOKEN of predict here, run(texts, forbid=[...]) in Python",
    "bad_words_ids": "is --forbid TOKEN of predict here, run(texts, forbid=[...]) in Python",
    "metrics": "is metric here, on the command line --metric: a name, or several",
    "ensemble": "is not a setting: seq2x.load, evaluate and score take it; give compare what load gives",
    "normalization": 'is loss_per = "token" or "sequence" here',
}

_VALUES = {
    ("length_penalty", "avg"): 'is "average" here',
    ("lr_scheduler", "noam"): 'is "inverse_sqrt" here',
    ("lr_scheduler", "rsqrt"): 'is "inverse_sqrt" here',
    ("task", "sequence_labeling"): 'is "tag" here',
    ("task", "sequence_labelling"): 'is "tag" here',
    ("task", "token_classification"): 'is "tag" here',
    ("task", "pos"): 'is "tag" here',
    ("task", "ner"): 'is "tag" here',
    ("task", "translation"): 'is "generate" here',
    ("model", "bilstm"): 'is "lstm" here, which reads both directions (bidirectional = true)',
    ("model", "crf"): "is crf = true here, on any encoder",
    ("attention", "mlp"): 'is "additive" here',
    ("attention", "bahdanau"): 'is "additive" here',
    ("attention", "luong"): 'is "general" or "dot" here',
    ("attention", "location"): 'is attention_history = "location" here, with any attention',
    ("attention", "coverage"): 'is attention_history = "coverage" here, with any attention',
    ("units", "character"): 'is "char" here',
    ("units", "spm"): 'is "unigram" or "bpe" here: both are learned on raw text',
    ("units", "sentencepiece"): 'is "unigram" or "bpe" here: both are learned on raw text',
    ("units", "subword"): 'is "bpe" or "unigram" here',
    ("precision", "fp16"): 'is not offered; "bf16" has its speed without its overflow',
    ("activation", "swiglu"): 'is "gated" here',
    ("activation", "silu"): 'is "gated" here',
    ("norm", "rmsnorm"): 'is "rms" here',
    ("norm", "layernorm"): 'is "layer" here',
    ("positions", "rope"): 'is "rotary" here',
    ("device", "gpu"): 'is "cuda" here',
}


def habit(name: str, value: object = None) -> str:
    """What to say to somebody used to another toolkit, or nothing.

    >>> habit("num_beams")
    '"num_beams" is called beam_size here'
    """
    if name == "length_penalty" and _is_number(value):
        return 'length_penalty is a name here ("wu", "average" or "none"); length_alpha is the number'
    if name in _HERE:
        return f'"{name}" is called {_HERE[name]} here'
    if name in _TOLD:
        return f'"{name}" {_TOLD[name]}'
    text = value.lower() if isinstance(value, str) else ""
    said = _VALUES.get((name.removeprefix("source_").removeprefix("target_"), text))
    return f'"{value}" {said}' if said else ""


def _is_number(value: object) -> bool:
    """Whether it is a number, or text of a command line that is one."""
    if isinstance(value, str):
        return re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", value[:100].strip()) is not None
    return isinstance(value, (int, float))
