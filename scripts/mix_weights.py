"""Mix the tensors that a run shares with a model with the model's own: a step towards ppvd-tiny.

    python scripts/mix_weights.py runs/ppvd_tiny FILE --share 0.3 -o runs/ppvd_mixed

Every shared tensor becomes share * run + (1 - share) * model; tensors that only the run has (blocks
across frames) stay. The result is a folder to start from (`train.init_from`), without a card: the
card of the run that starts from it must tell of the mixture (`embed_weights.py --note`).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from nearfar.errors import WeightsError
from nearfar.train.targets import read_initial
from nearfar.weights.safe import read_safetensors, write_safetensors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder with weights.safetensors")
    parser.add_argument("model", help="name of an embedded model, or a weights file")
    parser.add_argument("--share", type=float, required=True, help="of the run, 0 to 1")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder")
    options = parser.parse_args()
    if not 0 <= options.share <= 1:
        parser.error(f"--share {options.share}: not within 0 and 1")
    try:
        tensors, metadata = read_safetensors(options.run / "weights.safetensors")
        mixed = mix(tensors, read_initial(Path(options.model)), share=options.share)
    except WeightsError as error:
        parser.error(str(error))
    options.output.mkdir(parents=True, exist_ok=True)
    write_safetensors(options.output / "weights.safetensors", mixed, metadata)


def mix(
    run: Mapping[str, Tensor], model: Mapping[str, Tensor], *, share: float
) -> dict[str, Tensor]:
    """The run's tensors, those that the model has too mixed with its own, in the run's dtype."""
    odd = [name for name in run if name in model and run[name].shape != model[name].shape]
    if odd or not set(run) & set(model):
        finding = f"{odd[0]} has another shape" if odd else "no tensor in common"
        raise WeightsError("mix_weights", finding, "Mix a run with the model it started from")
    return {
        name: tensor
        if name not in model
        else (share * tensor.float() + (1 - share) * model[name].float()).to(tensor.dtype)
        for name, tensor in run.items()
    }


if __name__ == "__main__":
    main()
