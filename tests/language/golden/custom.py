# SPDX-License-Identifier: Apache-2.0
"""References that no library has: models as functions of tensors by the text's
names, and losses. Rows are whole, documents kept apart by masks."""
import torch
import torch.nn.functional as F

TOKENS = torch.tensor([[1, 4, 7, 2, 9, 3], [5, 0, 10, 6, 8, 2]])
DOCUMENT = torch.tensor([[0] * 6, [0] * 4 + [1] * 2])
DOCUMENTS = [[(0, 6)], [(0, 4), (4, 6)]]
D, FFN = 8, 12


def formula(order, shape, ones=False):
    i = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return ((1.0 if ones else 0.0) + 0.4 * torch.sin(1.3 * i + order)).reshape(
        shape)


def result(settings, terms, weights, logits, named):
    """terms: name -> (sum, count). Gradients are of their weighed sum."""
    sum(weights[name] * total / count
        for name, (total, count) in terms.items() if name in weights).backward()
    return {"settings": settings,
            "terms": {name: [total.item(), count]
                      for name, (total, count) in terms.items()},
            "weights": weights, "logits": logits[0, -1].tolist(),
            "gradients": {
                name: [p.grad.norm().item(),
                       (p.grad.flatten() * formula(0, [p.numel()])).sum().item()]
                for name, p in sorted(named.items())}}


def tensors(shapes, ones):
    return {name: formula(order, shapes[name], ones(name)).requires_grad_()
            for order, name in enumerate(sorted(shapes))}


def next_tokens():
    """Labels and mask, as the packer makes them."""
    labels, mask = torch.zeros_like(TOKENS), torch.zeros(TOKENS.shape).double()
    same = DOCUMENT[:, 1:] == DOCUMENT[:, :-1]
    labels[:, :-1] = TOKENS[:, 1:] * same
    mask[:, :-1] = same
    return labels, mask


def surprise(logits, labels):
    return F.cross_entropy(logits.transpose(1, 2), labels, reduction="none")


def norm(x, g):
    return x / torch.sqrt((x**2).mean(-1, keepdim=True) + 1e-5) * g


def attend(x, w, at, heads):
    b, t, _ = x.shape
    q, k, v = (part.reshape(b, t, heads, -1).transpose(1, 2) for part in
               (norm(x, w[at + "norm1.weight"]) @ w[at + "qkv.weight"].T)
               .chunk(3, -1))
    keep = torch.ones(t, t, dtype=torch.bool).tril() & (
        DOCUMENT[:, :, None] == DOCUMENT[:, None, :])
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=keep[:, None])
    return x + out.transpose(1, 2).reshape(b, t, -1) @ w[at + "out.weight"].T


def layer(x, w, at, heads):
    x = attend(x, w, at, heads)
    h = norm(x, w[at + "norm2.weight"])
    return x + F.gelu(h @ w[at + "up.weight"].T) @ w[at + "down.weight"].T


def layer_shapes(at):
    return {at + "norm1.weight": [D], at + "norm2.weight": [D],
            at + "qkv.weight": [3 * D, D], at + "out.weight": [D, D],
            at + "up.weight": [FFN, D], at + "down.weight": [D, FFN]}


def unet():
    layers, heads = 5, 2
    shapes = {"embed.weight": [11, D], "norm.weight": [D]}
    for i in range(layers):
        shapes.update(layer_shapes(f"layers.{i}."))
        if i > layers // 2:
            shapes[f"layers.{i}.skip.weight"] = [D]
    w = tensors(shapes, lambda name: "norm" in name or "skip" in name)
    x, made = w["embed.weight"][TOKENS], []
    for i in range(layers):
        if i > layers // 2:
            x = x + w[f"layers.{i}.skip.weight"] * made[layers - 1 - i]
        x = layer(x, w, f"layers.{i}.", heads)
        made.append(x)
    logits = norm(x, w["norm.weight"]) @ w["embed.weight"].T
    labels, mask = next_tokens()
    ce = (surprise(logits, labels) * mask).sum()
    return result(dict(vocab=11, layers=layers, d=D, heads=heads, ffn=FFN),
                  {"cross_entropy": (ce, mask.sum().item())},
                  {"cross_entropy": 1}, logits, w)


def philox(counter, key):
    """Philox 4x32-10's first word: Salmon et al., SC 2011."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(q >> 32) ^ c[1] ^ k[0], q & 0xFFFFFFFF,
             (p >> 32) ^ c[3] ^ k[1], p & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c[0]


# Random123's known answer.
assert philox([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
              [0xA4093822, 0x299F31D0]) == 0xD16CFE09
HOST = {"seed": 5, "attempt": 3, "first_row": 2}


def drop(x, p, call, use, training):
    """Dropout of the use-th random value of the call-th call of a block."""
    if not training:
        return x
    rows, elements = len(x), x[0].numel()
    draws = [[philox([at, HOST["first_row"] + row, HOST["attempt"], call],
                     [HOST["seed"], use]) >> 8 for at in range(elements)]
             for row in range(rows)]
    kept = torch.tensor(draws).reshape(x.shape) >= p * 2**24
    return x * kept / (1 - p)


def dropped():
    layers, heads, p, r = 2, 2, 0.25, 0.4
    shapes = {"embed.weight": [11, D], "norm.weight": [D]}
    for i in range(layers):
        shapes.update(layer_shapes(f"layers.{i}."))
    w = tensors(shapes, lambda name: "norm" in name)

    def model(training):
        x = drop(w["embed.weight"][TOKENS], p, 0, 0, training)
        for i in range(layers):
            at = f"layers.{i}."
            x = x + drop(attend(x, w, at, heads) - x, r, i + 1, 0, training)
            h = F.gelu(norm(x, w[at + "norm2.weight"]) @ w[at + "up.weight"].T)
            h = drop(h, p, i + 1, 1, training)
            x = x + h @ w[at + "down.weight"].T
        return norm(x, w["norm.weight"]) @ w["embed.weight"].T
    labels, mask = next_tokens()
    ce = (surprise(model(True), labels) * mask).sum()
    made = result(dict(vocab=11, layers=layers, d=D, heads=heads, ffn=FFN, p=p,
                       r=r), {"cross_entropy": (ce, mask.sum().item())},
                  {"cross_entropy": 1}, model(False), w)
    return {**made, "host": HOST}


def rotary(x):
    """(b, heads, t, k): pairs k and k + size/2, positions of documents."""
    half = x.shape[-1] // 2
    position = torch.tensor([[t - begin for begin, end in documents
                              for t in range(begin, end)]
                             for documents in DOCUMENTS]).double()
    rate = 1e4 ** (-torch.arange(half).double() / half)
    angle = position[:, None, :, None] * rate
    lo, hi = x[..., :half], x[..., half:]
    return torch.cat([lo * angle.cos() - hi * angle.sin(),
                      hi * angle.cos() + lo * angle.sin()], -1)


def streaming():
    layers, heads, window, first = 2, 2, 2, 1
    shapes = {"embed.weight": [11, D], "norm.weight": [D]}
    for i in range(layers):
        shapes.update(layer_shapes(f"layers.{i}."))
    w = tensors(shapes, lambda name: "norm" in name)
    x = w["embed.weight"][TOKENS]
    b, t, _ = x.shape
    keep = torch.zeros(b, t, t, dtype=torch.bool)
    for row, documents in enumerate(DOCUMENTS):
        for begin, end in documents:
            for query in range(begin, end):
                keep[row, query, begin:begin + first] = True
                keep[row, query, max(begin, query - window + 1):query + 1] = True
    for i in range(layers):
        at = f"layers.{i}."
        q, k, v = (part.reshape(b, t, heads, -1).transpose(1, 2) for part in
                   (norm(x, w[at + "norm1.weight"])
                    @ w[at + "qkv.weight"].T).chunk(3, -1))
        seen = keep & torch.ones(t, t, dtype=torch.bool).tril()
        y = F.scaled_dot_product_attention(rotary(q), rotary(k), v,
                                           attn_mask=seen[:, None])
        x = x + y.transpose(1, 2).reshape(b, t, -1) @ w[at + "out.weight"].T
        h = norm(x, w[at + "norm2.weight"])
        x = x + F.gelu(h @ w[at + "up.weight"].T) @ w[at + "down.weight"].T
    logits = norm(x, w["norm.weight"]) @ w["embed.weight"].T
    labels, mask = next_tokens()
    ce = (surprise(logits, labels) * mask).sum()
    return result(dict(vocab=11, layers=layers, d=D, heads=heads, ffn=FFN,
                       window=window, first=first),
                  {"cross_entropy": (ce, mask.sum().item())},
                  {"cross_entropy": 1}, logits, w)


def two_ahead():
    layers, heads = 2, 2
    shapes = {"embed.weight": [11, D], "norm.weight": [D],
              "next.weight": [11, D], "after.weight": [11, D]}
    for i in range(layers):
        shapes.update(layer_shapes(f"layers.{i}."))
    w = tensors(shapes, lambda name: "norm" in name)
    x = w["embed.weight"][TOKENS]
    for i in range(layers):
        x = layer(x, w, f"layers.{i}.", heads)
    h = norm(x, w["norm.weight"])
    logits, after = h @ w["next.weight"].T, h @ w["after.weight"].T
    labels, mask = next_tokens()
    one = (surprise(logits, labels) * mask).sum()
    two = 0
    for row, documents in enumerate(DOCUMENTS):
        for begin, end in documents:
            for t in range(begin, end - 2):
                two = two - after[row, t].log_softmax(-1)[TOKENS[row, t + 2]]
    count = mask.sum().item()
    return result(dict(vocab=11, layers=layers, d=D, heads=heads, ffn=FFN),
                  {"one_ahead": (one, count), "two_ahead": (two, count)},
                  {"one_ahead": 0.7, "two_ahead": 0.3}, logits, w)


def shared_experts():
    layers, heads, experts, top = 2, 4, 8, 2
    shapes = {"embed.weight": [11, D], "norm.weight": [D]}
    for i in range(layers):
        at = f"layers.{i}."
        shapes.update({
            at + "norm1.weight": [D], at + "norm2.weight": [D],
            at + "qkv.weight": [3 * D, D], at + "out.weight": [D, D],
            at + "router.weight": [experts, D],
            at + "experts.{experts}.in.weight": [experts, FFN, D],
            at + "experts.{experts}.in.bias": [experts, FFN],
            at + "experts.{experts}.out.weight": [experts, D, FFN],
            at + "shared.gate.weight": [D], at + "shared.in.weight": [FFN, D],
            at + "shared.out.weight": [D, FFN]})
    w = tensors(shapes, lambda name: "norm" in name)
    x, balance = w["embed.weight"][TOKENS], 0
    for i in range(layers):
        x, of_layer = expert_layer(x, w, f"layers.{i}.", heads, experts, top)
        balance = balance + of_layer
    logits = norm(x, w["norm.weight"]) @ w["embed.weight"].T
    labels, mask = next_tokens()
    ce = (surprise(logits, labels) * mask).sum()
    return result(dict(vocab=11, layers=layers, d=D, heads=heads, ffn=FFN,
                       experts=experts, top=top),
                  {"cross_entropy": (ce, mask.sum().item()),
                   "balance": (balance * 2, 2)},
                  {"cross_entropy": 1, "balance": 0.02}, logits, w)


def expert_layer(x, w, at, heads, experts, top):
    b, t, _ = x.shape
    x = attend(x, w, at, heads)
    h = norm(x, w[at + "norm2.weight"])
    p = torch.softmax(h @ w[at + "router.weight"].T, -1)
    weight, choice = torch.topk(p, top, -1)
    y = torch.zeros_like(x)
    for e in range(experts):  # every token by every expert, then masked
        inner = F.gelu(h @ w[at + "experts.{experts}.in.weight"][e].T
                       + w[at + "experts.{experts}.in.bias"][e])
        z = inner @ w[at + "experts.{experts}.out.weight"][e].T
        y = y + (weight * (choice == e)).sum(-1, keepdim=True) * z
    gate = torch.sigmoid((h * w[at + "shared.gate.weight"]).sum(-1, True))
    shared = F.gelu(h @ w[at + "shared.in.weight"].T)
    chosen = F.one_hot(choice, experts).sum((0, 1, 2))
    balance = experts * (chosen * p.sum((0, 1))).sum() / (b * t)**2
    return x + y + gate * (shared @ w[at + "shared.out.weight"].T), balance


def of_loss(model, settings, weights, terms, **more):
    """A loss over the library's llama: terms(logits, labels, mask)."""
    rows = [torch.cat([model(TOKENS[row:row + 1, begin:end]).logits.double()
                       for begin, end in documents], 1)
            for row, documents in enumerate(DOCUMENTS)]
    logits = torch.cat(rows)
    labels, mask = next_tokens()
    count = mask.sum().item()
    sums = {name: (total, count)
            for name, total in terms(logits, labels, mask).items()}
    made = result(settings, sums, weights, logits,
                  dict(model.named_parameters()))
    return {"model": "llama", **made, **more}


def focal(logits, labels, mask):
    nll = surprise(logits, labels)
    return {"focal": ((1 - torch.exp(-nll))**1.5 * nll * mask).sum()}


def distillation(logits, labels, mask):
    target = (formula(5, logits.shape) / 3).log_softmax(-1)
    apart = F.kl_div((logits / 3).log_softmax(-1), target, log_target=True,
                     reduction="none").sum(-1)
    return {"distillation": (9 * apart * mask).sum(),
            "cross_entropy": (surprise(logits, labels) * mask).sum()}


def smoothed(logits, labels, mask):
    nll = F.cross_entropy(logits.transpose(1, 2), labels, reduction="none",
                          label_smoothing=0.2)
    z = torch.logsumexp(logits, -1)**2
    return {"smoothed": ((nll + 0.05 * z) * mask).sum(),
            "normaliser": (z * mask).sum()}


LOSSES = {
    "focal": (focal, {"focal": 1}, {"focal": {"gamma": 1.5}}, {}),
    "distillation": (
        distillation, {"distillation": 0.8, "cross_entropy": 0.2},
        {"distillation": {"temperature": 3}},
        {"teacher": {"shape": [2, 6, 11], "order": 5}}),
    "smoothed": (smoothed, {"smoothed": 1},
                 {"smoothed": {"smoothing": 0.2, "z": 0.05}}, {}),
}
