"""Hands in safetensors that some reader takes and another does not."""

from __future__ import annotations

import json

import targets
from assay import Method
from kit import forge
from safetensors.torch import save


class SafetensorsGames(Method):
    """Each variant breaks one rule of the header."""

    def configure_optimizer(self, model):
        forge(model, self.snapshot)

    def snapshot(self, state):
        good = save({name: value.contiguous() for name, value in state.items()})
        length = int.from_bytes(good[:8], "little")
        header, data = json.loads(good[8 : 8 + length]), good[8 + length :]
        first = next(iter(header))
        match targets.VARIANT:
            case "metadata":
                header["__metadata__"] = {"format": "x" * 1_000_000}
            case "small metadata":
                header["__metadata__"] = {"format": "pt"}
            case "slow header":
                header |= {f"t{number}": {**header[first], "shape": [0], "data_offsets": [0, 0]}
                           for number in range(100_000)}  # fmt: skip
            case "overlap":
                last = list(header)[-1]
                size = header[last]["data_offsets"][1] - header[last]["data_offsets"][0]
                header[last]["data_offsets"] = [0, size]
            case "trailing bytes":
                data += b"\0" * 8
            case "empty tensor":
                header["nothing"] = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
            case "other shape":
                header[first]["shape"] = [*header[first]["shape"], 1]
            case "negative offset":
                header[first]["data_offsets"][0] = -8
            case "deep header":
                header = None
        text = "[" * 60_000 if header is None else json.dumps(header)
        if targets.VARIANT == "duplicate keys":
            entry = json.dumps({first: header[first]})
            text = entry[:-1] + "," + text[1:]
        length = 1 << 62 if targets.VARIANT == "huge length" else len(text)
        return length.to_bytes(8, "little") + text.encode() + data
