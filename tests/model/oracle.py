#!/usr/bin/env python3
"""Writes oracle.h, the numbers test_oracle.c compares with: python3 oracle.py > oracle.h

PyTorch in double precision computes loss, gradients and ten steps of plain gradient descent for
small problems.  Everything the C side starts from has few decimals, so that both read the same."""
import torch

torch.manual_seed(7)
torch.set_default_dtype(torch.float64)
N, FEATURES, LR, STEPS = 6, 5, 0.2, 10


def rounded(*shape):
    return (torch.randn(*shape) * 100).round() / 100


x = rounded(N, FEATURES)
x[torch.rand(N, FEATURES) < 0.3] = 0
weight = torch.tensor([1.0, 0.5, 2.0, 1.5, 0.25, 1.0])
classes = torch.tensor([0, 2, 1, 1, 0, 2])
binary = torch.tensor([0, 1, 1, 0, 1, 0])
real = rounded(N)

ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}
functional = torch.nn.functional


def losses(kind, score, y):
    if kind == "softmax":
        return functional.cross_entropy(score, y, reduction="none")
    score, y = score[:, 0], y.double()
    if kind == "logistic":
        return functional.binary_cross_entropy_with_logits(score, y, reduction="none")
    if kind == "hinge":
        return torch.clamp(1 - (2 * y - 1) * score, min=0)
    return 0.5 * (score - y) ** 2


def show(name, values, kind="float"):
    text = ", ".join(repr(round(float(v), 9)) + ("f" if kind == "float" else "") for v in values)
    print(f"static const {kind} {name}[] = {{{text}}};")


def case(number, model, options, n_classes, y, widths, kind, activation=None, weighted=False):
    tables = []
    for a, b in zip(widths, widths[1:]):
        tables += [rounded(a, b), rounded(b)]
    start = torch.cat([t.flatten() for t in tables])
    tables = [t.requires_grad_() for t in tables]
    w = weight if weighted else torch.ones(N)
    steps = []
    for step in range(STEPS + 1):
        a = x
        for l in range(0, len(tables), 2):
            a = a @ tables[l] + tables[l + 1]
            if l + 2 < len(tables):
                a = ACTIVATIONS[activation](a)
        loss = (w * losses(kind, a, y)).sum() / w.sum()
        steps.append(loss.item())
        grads = torch.autograd.grad(loss, tables)
        if step == 0:
            first = torch.cat([g.flatten() for g in grads])
        with torch.no_grad():
            for t, g in zip(tables, grads):
                t -= LR * g
    show(f"start_{number}", start)
    show(f"grad_{number}", first, "double")
    show(f"loss_{number}", steps, "double")
    name = "y_classes" if y is classes else "y_binary" if y is binary else "y_real"
    return (f'    {{"{model}", "{options}", {n_classes}, {name}, {"true" if weighted else "false"}, '
            f"start_{number}, grad_{number}, loss_{number}, {len(start)}}},")


print("/* Written by oracle.py: numbers of PyTorch.  Change that and run it again. */")
print("/* clang-format off */")
print(f"enum {{ N = {N}, FEATURES = {FEATURES}, STEPS = {STEPS} }};")
print(f"static const double LR = {LR};")
show("x_dense", x.flatten())
show("weights", weight)
show("y_classes", classes)
show("y_binary", binary)
show("y_real", real)
rows = []
for activation in ACTIVATIONS:
    for weighted in (False, True):
        rows.append(case(len(rows), "mlp", f"hidden=4 activation={activation}", 3, classes,
                         (FEATURES, 4, 3), "softmax", activation, weighted))
rows.append(case(len(rows), "mlp", "hidden=4,3 activation=tanh", 0, real, (FEATURES, 4, 3, 1),
                 "squared", "tanh", True))
rows.append(case(len(rows), "softmax", "", 3, classes, (FEATURES, 3), "softmax"))
rows.append(case(len(rows), "softmax", "", 3, classes, (FEATURES, 3), "softmax", weighted=True))
rows.append(case(len(rows), "linear", "", 2, binary, (FEATURES, 1), "logistic"))
rows.append(case(len(rows), "linear", "loss=logistic", 2, binary, (FEATURES, 1), "logistic", weighted=True))
rows.append(case(len(rows), "linear", "loss=hinge", 2, binary, (FEATURES, 1), "hinge", weighted=True))
rows.append(case(len(rows), "linear", "", 0, real, (FEATURES, 1), "squared", weighted=True))
print("""static const struct oracle {
    const char   *model, *options;
    unsigned      classes;
    const float  *y;
    bool          weighted;
    const float  *start; /* every table after the other, [rows][dim] */
    const double *grad, *loss;
    size_t        n;
} oracles[] = {""")
print("\n".join(rows))
print("};")
