"""Write a small model's directory: tokenizer and configuration, no weights.

    python tiny_model.py DIRECTORY TEXT_FILE

Gateways that tokenize for themselves are given this, so that nothing is fetched.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

target, text = Path(sys.argv[1]), Path(sys.argv[2]).read_text()
target.mkdir(parents=True, exist_ok=True)
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
trainer = trainers.BpeTrainer(
    vocab_size=8000,
    special_tokens=["<|im_start|>", "<|im_end|>", "<|endoftext|>"],
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
)
tokenizer.train_from_iterator([text], trainer)
tokenizer.save(str(target / "tokenizer.json"))
template = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n"
)
files = {
    "config.json": {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "intermediate_size": 128,
        "max_position_embeddings": 131072,
        "bos_token_id": 2,
        "eos_token_id": 2,
        "torch_dtype": "bfloat16",
    },
    "tokenizer_config.json": {
        "bos_token": "<|endoftext|>",
        "eos_token": "<|endoftext|>",
        "model_max_length": 131072,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": template,
    },
    "generation_config.json": {"eos_token_id": 2, "bos_token_id": 2},
}
for name, value in files.items():
    (target / name).write_text(json.dumps(value))
