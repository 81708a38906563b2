#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes NAME.json beside it for each NAME.ltc: what PyTorch says of its terms,
logits and every gradient on a tiny model. The models are transformers' own, some
with another attention, and custom.py's. Run by hand after `pip install torch
transformers`; names as arguments: only those."""
import json
import os
import sys

import torch
from torch import nn
import transformers as tf
from transformers.models.gpt_oss import modeling_gpt_oss
from transformers.models.llama import modeling_llama
from transformers.models.mistral import modeling_mistral

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../../frontend/graph/golden"))
import make as library  # run, weight: the batch and the formula of weights
sys.path.insert(0, HERE)
import custom

COMMON = dict(vocab_size=11, hidden_size=8, num_hidden_layers=2,
              num_attention_heads=4, num_key_value_heads=2, head_dim=4,
              intermediate_size=12, max_position_embeddings=6,
              attn_implementation="eager", tie_word_embeddings=False)
SIZES = dict(vocab=11, layers=2, d=8, heads=4, kv=2, k=4, ffn=12)


def is_norm(name):
    return name.endswith("weight") and ("norm" in name or "ln_" in name)


def parallel():
    """Text's settings, transformers' model, names of parameters that are ones
    by the text's `init`."""
    config = tf.GPTNeoXConfig(
        vocab_size=11, hidden_size=16, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=12, hidden_act="gelu",
        rope_parameters=dict(rope_type="default", rope_theta=1e4,
                             partial_rotary_factor=0.5),
        use_parallel_residual=True, max_position_embeddings=6,
        layer_norm_eps=1e-5, tie_word_embeddings=False,
        attn_implementation="eager")
    return (dict(vocab=11, layers=2, d=16, heads=2, ffn=12, rot=4),
            tf.GPTNeoXForCausalLM(config), is_norm)


def alibi():
    config = tf.BloomConfig(vocab_size=11, hidden_size=8, n_layer=2, n_head=4,
                            layer_norm_epsilon=1e-5, hidden_dropout=0,
                            attention_dropout=0, attn_implementation="eager")
    return (dict(vocab=11, layers=2, d=8, heads=4),
            tf.BloomForCausalLM(config), is_norm)


def local_global():
    config = tf.Gemma2Config(
        **{**COMMON, "num_hidden_layers": 6, "tie_word_embeddings": True},
        layer_types=["sliding_attention"] * 5 + ["full_attention"],
        sliding_window=3, query_pre_attn_scalar=5, attn_logit_softcapping=2.0,
        final_logit_softcapping=3.0, hidden_activation="gelu_pytorch_tanh",
        pad_token_id=None,  # 0 is a token here: its row has a gradient
        rms_norm_eps=1e-6, rope_theta=1e4)
    return (dict(SIZES, layers=6, window=3, query_size=5, cap=2, final_cap=3),
            tf.Gemma2ForCausalLM(config), lambda name: False)


def qk_norm():
    config = tf.Qwen3Config(**COMMON, hidden_act="relu2", rms_norm_eps=1e-6,
                            rope_theta=1e4)
    return SIZES, tf.Qwen3ForCausalLM(config), is_norm


def by_hand():
    config = tf.LlamaConfig(**COMMON, rms_norm_eps=1e-5, rope_theta=1e4)
    return SIZES, tf.LlamaForCausalLM(config), is_norm


def fused_qkv():
    config = tf.FalconConfig(
        vocab_size=11, hidden_size=16, num_hidden_layers=2,
        num_attention_heads=4, num_kv_heads=2, new_decoder_architecture=True,
        bias=True, alibi=False, parallel_attn=True, hidden_dropout=0,
        attention_dropout=0, layer_norm_epsilon=1e-5, rope_theta=1e4,
        max_position_embeddings=6, attn_implementation="eager")
    return (dict(vocab=11, layers=2, d=16, heads=4, kv=2),
            tf.FalconForCausalLM(config), is_norm)


def latent():
    sizes = {**COMMON, "num_attention_heads": 2}
    del sizes["head_dim"]
    config = tf.DeepseekV3Config(
        **sizes, q_lora_rank=6, kv_lora_rank=5, qk_nope_head_dim=3,
        qk_rope_head_dim=4, v_head_dim=5, first_k_dense_replace=2,
        rms_norm_eps=1e-6, rope_interleave=True,
        rope_parameters=dict(rope_type="default", rope_theta=1e4))
    return (dict(vocab=11, layers=2, d=8, heads=2, nope=3, rot=4, c=5,
                 q_rank=6, kv_rank=5, ffn=12),
            tf.DeepseekV3ForCausalLM(config), is_norm)


def sinks():
    """Mistral with GPT-OSS's attention."""
    config = tf.MistralConfig(**COMMON, sliding_window=3, rms_norm_eps=1e-5,
                              rope_theta=1e4)
    model = tf.MistralForCausalLM(config)
    for layer in model.model.layers:
        layer.self_attn.sinks = nn.Parameter(torch.zeros(4))
    modeling_mistral.eager_attention_forward = \
        modeling_gpt_oss.eager_attention_forward
    return dict(SIZES, window=3), model, is_norm


def biased_attention(module, query, key, value, mask, scaling, **unused):
    groups = module.num_key_value_groups
    key = key.repeat_interleave(groups, 1)
    value = value.repeat_interleave(groups, 1)
    scores = query @ key.transpose(2, 3) * scaling
    t = torch.arange(query.shape[2])
    distance = (t[:, None] - t[None, :]).clamp(min=0)
    scores = (scores * module.sharpness[None, :, None, None]
              + module.distance_bias[:, distance])
    scores = scores.masked_fill(t[:, None] < t[None, :], float("-inf"))
    return (scores.softmax(-1) @ value).transpose(1, 2), None


def relative():
    """Llama with a bias by distance and a scale per head."""
    config = tf.LlamaConfig(**COMMON, rms_norm_eps=1e-5, rope_theta=1e4)
    model = tf.LlamaForCausalLM(config)
    for layer in model.model.layers:
        layer.self_attn.sharpness = nn.Parameter(torch.ones(4))
        layer.self_attn.distance_bias = nn.Parameter(torch.zeros(4, 6))
    modeling_llama.eager_attention_forward = biased_attention
    return (dict(SIZES, far=6), model,
            lambda name: is_norm(name) or name.endswith("sharpness"))


def rwkv():
    config = tf.RwkvConfig(vocab_size=11, context_length=6, hidden_size=8,
                           num_hidden_layers=2, intermediate_size=12,
                           layer_norm_epsilon=1e-5, rescale_every=0,
                           tie_word_embeddings=False, use_cache=False)
    return (dict(vocab=11, layers=2, d=8, ffn=12), tf.RwkvForCausalLM(config),
            lambda name: name.endswith("weight") and "ln" in name)


def rwkv_sums():
    return rwkv()


def filled(model, ones):
    model = model.double()
    model.eval()
    # Norms written with x.float() stay in float64.
    torch.Tensor.float = torch.Tensor.double
    named = dict(model.named_parameters())
    for order, name in enumerate(sorted(named)):
        p = named[name]
        p.data = library.weight(order, p.numel(), ones(name)).reshape(p.shape)
    return model


def of_transformers(build):
    settings, model, ones = build()
    return dict(settings=settings, **library.run(filled(model, ones), 0.0))


def of_loss(name):
    terms, weights, settings, inputs = custom.LOSSES[name]
    sizes, model, ones = by_hand()
    return custom.of_loss(filled(model, ones), sizes, weights, terms,
                          **{"settings of losses": settings, "inputs": inputs})


def main():
    makers = {}
    for build in [custom.unet, custom.two_ahead, custom.shared_experts,
                  custom.streaming, custom.dropped]:
        makers[build.__name__] = build
    for name in custom.LOSSES:
        makers[name] = lambda name=name: of_loss(name)
    for build in [parallel, alibi, local_global, qk_norm, by_hand, fused_qkv,
                  latent, rwkv, rwkv_sums, sinks, relative]:
        # the last two change attention
        makers[build.__name__] = lambda build=build: of_transformers(build)
    for name, make in makers.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        result = make()
        with open(os.path.join(HERE, name + ".json"), "w") as out:
            json.dump(result, out, indent=1)
            out.write("\n")


main()
