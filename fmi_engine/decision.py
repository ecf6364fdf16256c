"""What a plant's rule makes of a network's outputs: logits to decide by, and how likely each class is.

Whatever the rule, `decide` makes logits of which the largest is the decision, and whose distance from the
next is the distance from the threshold: so margins, blame and flips mean what they mean under the plain
rule. Training does without them (`log_likelihood`): it teaches what is likely, and what an error costs stays
in the rule.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fmi_engine.decision_rule import Band, DecisionRule


def decide(rule: DecisionRule, outputs: Float[Tensor, "batch output"]) -> Float[Tensor, "batch decision"]:
    """Logits (batch, names) of which the largest is the decision."""
    if not rule.text:
        return outputs
    if rule.band:
        return _with_band(rule, outputs, rule.band)
    largest = _largest(rule, outputs)
    free = [i for i, threshold in enumerate(rule.thresholds) if threshold is None]
    if len(free) == len(rule.classes):
        return largest
    beside = largest[:, free] - largest[:, free].amax(1, keepdim=True)
    odds, columns = _odds(rule, outputs), []
    for i, threshold in enumerate(rule.thresholds):
        columns.append(beside[:, free.index(i)] if threshold is None else odds[:, i] - threshold)
    return torch.stack(columns, 1)


def _with_band(rule: DecisionRule, outputs: Tensor, band: Band) -> Tensor:
    odds = _odds(rule, outputs)
    unknown = torch.zeros_like(odds[:, :1])
    if band.place is None:
        return torch.cat([odds - band.high, unknown], 1)
    mine, largest = odds[:, band.place], _largest(rule, outputs)
    others = [i for i in range(len(rule.classes)) if i != band.place]
    beside = largest[:, others] - largest[:, others].amax(1, keepdim=True) + (band.low - mine)[:, None]
    columns = [
        mine - band.high if i == band.place else beside[:, others.index(i)] for i in range(len(rule.classes))
    ]
    return torch.cat([torch.stack(columns, 1), unknown], 1)


def _largest(rule: DecisionRule, outputs: Tensor) -> Tensor:
    """The largest output of each class (batch, classes); 0 of one that is what is left over."""
    return torch.stack(
        [
            outputs[:, list(mine)].amax(1) if mine else outputs.new_zeros(len(outputs))
            for mine in rule.members
        ],
        1,
    )


def _odds(rule: DecisionRule, outputs: Tensor) -> Tensor:
    """Of each class (batch, classes) log(p / (1 - p)), computed so that no probability rounds to 1."""
    likely = log_likelihood(rule, outputs)
    if not rule.exclusive:
        columns = [outputs[:, mine[0]] if mine else None for mine in rule.members]
        return torch.stack([likely[:, i] if each is None else each for i, each in enumerate(columns)], 1)
    places = range(len(rule.classes))
    others = [likely[:, [j for j in places if j != i]].logsumexp(1) for i in places]
    return likely - torch.stack(others, 1)


def log_likelihood(
    rule: DecisionRule, outputs: Float[Tensor, "batch output"]
) -> Float[Tensor, "batch label"]:
    """The logarithm of each class's probability (batch, classes), whatever the thresholds.

    Of outputs that exclude each other the softmax, summed over a class's outputs. Of outputs with a
    sigmoid each: that its class's output says yes and all others no.
    """
    if rule.exclusive:
        likely = outputs.log_softmax(1)
        if len(rule.classes) == len(rule.outputs):
            return likely
        return torch.stack([likely[:, list(mine)].logsumexp(1) for mine in rule.members], 1)
    yes, no = nn.functional.logsigmoid(outputs), nn.functional.logsigmoid(-outputs)
    none = no.sum(1)
    columns = [none - no[:, mine[0]] + yes[:, mine[0]] if mine else none for mine in rule.members]
    return torch.stack(columns, 1)


def log_answer(rule: DecisionRule, outputs: Float[Tensor, "batch output"]) -> Tensor:
    """All that the outputs say, as logarithms of probabilities: what a teacher hands on."""
    if rule.exclusive:
        return outputs.log_softmax(1)
    return torch.cat([nn.functional.logsigmoid(outputs), nn.functional.logsigmoid(-outputs)], 1)
