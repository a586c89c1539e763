"""A small transformer over tokens, for tasks whose examples are short sequences."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class Transformer(nn.Module):
    """One block of a decoder: from `length` tokens to the class of what follows.

    Vaswani et al., "Attention Is All You Need", NeurIPS 2017, with layer norm before attention and
    feed-forward (Xiong et al., ICML 2020). Tokens and classes have the same codes, 0..classes-1.
    The last position alone is read, so its query is the only one that is computed.
    """

    def __init__(
        self, in_shape: Sequence[int], n_classes: int, *, width: int, heads: int, hidden: int
    ) -> None:
        super().__init__()
        if len(in_shape) != 1:
            raise TypeError(f"inputs must be sequences of tokens, but one has the shape {in_shape}")
        (length,) = in_shape
        if width % heads:
            raise TypeError(f"width must be a multiple of heads, but got {width} and {heads}")
        self.heads = heads
        self.tokens = nn.Embedding(n_classes, width)
        self.positions = nn.Embedding(length, width)
        self.norm_attention = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.keys_and_values = nn.Linear(width, 2 * width)
        self.mix = nn.Linear(width, width)
        self.norm_hidden = nn.LayerNorm(width)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        self.norm_output = nn.LayerNorm(width)
        self.linear = nn.Linear(width, n_classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Whole numbers (n, length) to logits (n, n_classes)."""
        n, length = tokens.shape
        # Positions of every example, not of one: outputs of layers have one row an example.
        places = torch.arange(length, device=tokens.device).expand(n, length)
        embedded = self.tokens(tokens) + self.positions(places)
        hidden = embedded[:, -1]
        hidden = hidden + self._attention(self.norm_attention(embedded))
        hidden = hidden + self.down(functional.relu(self.up(self.norm_hidden(hidden))))
        logits: Tensor = self.linear(self.norm_output(hidden))
        return logits

    def _attention(self, inputs: Tensor) -> Tensor:
        """What the last position, (n, width), gathers from all of (n, length, width)."""
        n, length, width = inputs.shape
        size = width // self.heads
        query = self.query(inputs[:, -1]).view(n, self.heads, 1, size)
        both = self.keys_and_values(inputs).view(n, length, 2, self.heads, size)
        keys, values = both.permute(2, 0, 3, 1, 4)
        weights = ((query * keys).sum(-1) / math.sqrt(size)).softmax(-1)
        gathered = (weights[..., None] * values).sum(2)
        mixed: Tensor = self.mix(gathered.reshape(n, width))
        return mixed
