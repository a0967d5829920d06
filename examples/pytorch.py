"""The MLP on handwritten digits in PyTorch, with no JAX."""

import argparse
import time

import torch
from sklearn.datasets import load_digits

from metaopt.torch import LearnedOptimizer

RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)  # that Adam is tried with
BATCH_SIZE, LAST = 64, 20


def train(make, num_steps: int) -> tuple[float, float]:
    """The mean loss of the last steps, and the seconds."""
    torch.manual_seed(0)
    layers = [torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(64, 10))
    pixels, labels = load_digits(return_X_y=True)
    pixels = torch.tensor(pixels / 16, dtype=torch.float32)
    labels = torch.tensor(labels)
    optimizer, losses, start = make(model.parameters()), [], time.perf_counter()

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(pixels[chosen]), labels[chosen])
        loss.backward()
        return loss

    for _ in range(num_steps):
        chosen = torch.randint(len(pixels), (BATCH_SIZE,))
        losses.append(optimizer.step(closure).item())
    last = losses[-LAST:]
    return sum(last) / len(last), time.perf_counter() - start


def main() -> None:
    """Prints a table like that of the other examples."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("export", help="folder, as `make train` writes to runs/latest/export")
    parser.add_argument("--num-steps", type=int, default=500)
    parser.add_argument("--no-check", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)  # so small a model loses more by threads than it gains
    settings = {"num_steps": options.num_steps, "check": not options.no_check}
    learned = lambda params: LearnedOptimizer(params, options.export, **settings)
    adam = {
        rate: train(lambda params, rate=rate: torch.optim.Adam(params, lr=rate), options.num_steps)
        for rate in RATES
    }
    best = min(adam, key=lambda rate: adam[rate][0])
    print(f"{options.num_steps} steps            final loss   seconds   tuning runs")
    rows = {"learned": (train(learned, options.num_steps), 0)}
    rows[f"Adam, rate {best:g}"] = (adam[best], len(RATES))
    for name, ((loss, seconds), tuning) in rows.items():
        print(f"{name:<20} {loss:>10.4f} {seconds:>9.1f} {tuning:>13}")


if __name__ == "__main__":
    main()
