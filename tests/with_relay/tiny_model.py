"""Makes a language model of random weights, of some hundred kilobytes: `tiny_model.py FILE`. Needs gguf and numpy.

It says anything, at once, and comes to its end by accident. Its tokens are whole characters, so that it can be asked
in these characters alone.
"""

from __future__ import annotations

import sys

import gguf  # type: ignore[import-not-found, unused-ignore]
import numpy  # type: ignore[import-not-found, unused-ignore]

_WIDTH, _HIDDEN, _HEADS, _CONTEXT = 64, 128, 4, 32768
_LETTERS = [chr(code) for code in (*range(0x21, 0x7F), *range(0x410, 0x450))] + ["\u2581", "—", "👋", "🙂"]


def main(path: str) -> None:
    tokens = {
        "<unk>": gguf.TokenType.UNKNOWN,
        "<s>": gguf.TokenType.CONTROL,
        "</s>": gguf.TokenType.CONTROL,
        "<0x0A>": gguf.TokenType.BYTE,
        **dict.fromkeys(_LETTERS, gguf.TokenType.NORMAL),
    }

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(_CONTEXT)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(_HIDDEN)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_rope_dimension_count(_WIDTH // _HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(list(tokens))
    writer.add_token_scores([-float(index) for index in range(len(tokens))])
    writer.add_token_types(list(tokens.values()))
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)

    random = numpy.random.default_rng(11)
    for name, rows, columns in (
        ("token_embd", len(tokens), _WIDTH),
        ("blk.0.attn_q", _WIDTH, _WIDTH),
        ("blk.0.attn_k", _WIDTH, _WIDTH),
        ("blk.0.attn_v", _WIDTH, _WIDTH),
        ("blk.0.attn_output", _WIDTH, _WIDTH),
        ("blk.0.ffn_gate", _HIDDEN, _WIDTH),
        ("blk.0.ffn_up", _HIDDEN, _WIDTH),
        ("blk.0.ffn_down", _WIDTH, _HIDDEN),
        ("output", len(tokens), _WIDTH),
    ):
        writer.add_tensor(f"{name}.weight", random.normal(0, 0.1, (rows, columns)).astype(numpy.float32))
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", numpy.ones(_WIDTH, numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(sys.argv[1])
