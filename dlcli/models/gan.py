"""Generative adversarial nets (Goodfellow et al. 2014, arXiv:1406.2661): one rule for all pairs of losses.

    critic     descends objective.critic(f(x), f(G(z))) + regularizer      on every batch
    generator  descends objective.generator(f(G(z)))                       on every `critic_steps`-th batch

x (B, ...) real examples, z (B, Z) ~ N(0, 1), a code (B, Z + told) is z with what else the generator is told behind it;
f = critic(...)[:, 0], (B,), has no last activation and is high for what is real. The generator steps after the critic
and answers to its new weights. `noise` is the standard deviation of what is added to all that the critic sees, and
falls to zero by the end of the run (Sonderby et al. 2017, arXiv:1610.04490).

Losses of two players who move against each other say little of the samples. What is monitored as `loss` is the sliced
Wasserstein distance between as many samples as there are examples of the split. `separation` is how often the critic
puts a real example above a sample: 1/2 at the equilibrium, 1 where the critic wins. `gap` is the mean distance between
its two outputs; for a Wasserstein critic its estimate of the distance.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from dlcli import figures, metrics, samplers
from dlcli.errors import ConfigError
from dlcli.model import Clock, Model, Update
from dlcli.models import sliced
from dlcli.samplers import Prior

AT_ONCE = 500  # samples, so that any number of them fits in memory
ROW = 8  # pictures
SIDES = ("real", "fake")


class GAN(Model):
    """A generator learns to make what a critic cannot tell from real examples."""

    extra = 0  # numbers of a code besides the noise
    answers = 0  # numbers that the critic is asked to guess
    trust = 1.0  # weight, in the critic's loss, of what it guesses of samples

    def __init__(
        self,
        *,
        generator: nn.Module,
        critic: nn.Module,
        latent: int,
        objective: Any,
        regularizer: Any,
        critic_steps: int = 1,
        noise: float = 0.0,
    ):
        super().__init__()
        if critic_steps < 1:
            raise ConfigError(
                f"critic_steps={critic_steps}: the critic takes at least 1 step for each of the generator"
            )
        require_logits(critic)
        self.generator, self.critic, self.latent = generator, critic, latent
        self.objective, self.regularizer = objective, regularizer
        self.critic_steps, self.noise = critic_steps, noise
        self.require_codes(getattr(generator, "inputs", None))
        self.require_answers(getattr(critic, "outputs", None))

    def require_codes(self, inputs: list[int] | None) -> None:
        """Raise ConfigError unless the generator reads what codes hold."""
        if inputs is not None and sum(inputs) != self.latent + self.extra:
            more = f" and {self.extra} of what it is told" if self.extra else ""
            raise ConfigError(
                f"model.generator.inputs={inputs}: the generator is given {self.latent} numbers of noise "
                f"(model.latent){more}; both must agree"
            )

    def require_answers(self, outputs: int | None) -> None:
        """Raise ConfigError unless the critic guesses what it is asked."""
        if outputs is not None and outputs != 1 + self.answers:
            raise ConfigError(
                f"model.critic.answers: the critic guesses {outputs - 1} numbers, but {type(self).__name__} asks for "
                f"{self.answers}; both must agree"
            )

    def players(self) -> dict[str, Iterable]:
        return {"critic": self.critic.parameters(), "generator": self.generator.parameters()}

    def notes(self) -> list[str]:
        """Say which choices do not go together."""
        said = []
        mixing = [type(layer).__name__ for layer in self.critic.modules() if mixes(layer)]
        if self.regularizer.by_example and mixing:
            said.append(
                f"the critic's {mixing[0]} mixes the examples of a batch, so that {type(self.regularizer).__name__} "
                "takes no slope of one example by itself; set model.critic.norm=layer or none, and no kernels"
            )
        if self.objective.slope_bound and not self.regularizer.bounds and not any(map(bounded, self.critic.modules())):
            said.append(
                f"nothing bounds the slope of the critic, and {type(self.objective).__name__} needs that; "
                "take regularizer=gradient_penalty or clipping, or model.critic.norm=spectral"
            )
        return said

    def draw(self, batch: Any) -> Tensor:
        """Return a random code for each example of a batch, (B, Z + told)."""
        return torch.randn(batch.size, self.latent, device=batch.x.device)

    def judge(self, x: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the critic thinks of examples, (B,), and what else it guesses of them, (B, answers)."""
        found = self.critic(x).float()
        return found[:, 0], found[:, 1:]

    def guessing(self, answers: Tensor, told: Tensor, real: bool) -> Tensor | float:
        """Return the loss of what the critic guesses, if it guesses anything."""
        return 0.0

    def updates(self, batch: Any, clock: Clock) -> Iterator[Update]:
        moves = (clock.step + 1) % self.critic_steps == 0
        blur = self.noise * (1 - clock.progress)
        with torch.set_grad_enabled(moves):
            codes = self.draw(batch)
            fake = self.generator(codes)
        told = codes[:, self.latent :]
        yield Update(self.critic_loss(batch.x, fake.detach(), told, blur), "critic")
        self.regularizer.after(self.critic.parameters())
        if moves:
            made, answers = self.judge(blurred(fake, blur), told)
            yield Update(self.objective.generator(made) + self.guessing(answers, told, False), "generator")

    def critic_loss(self, x: Tensor, fake: Tensor, told: Tensor, blur: float) -> Tensor:
        """Return what the critic descends; real and generated examples are never in one batch of a norm."""
        real, of_real = self.judge(blurred(x, blur), told)
        made, of_fake = self.judge(blurred(fake, blur), told)
        rest = self.guessing(of_real, told, True) + self.trust * self.guessing(of_fake, told, False)
        return self.objective.critic(real, made) + rest + self.regularizer(self.seen(told), x, fake)

    def seen(self, told: Tensor) -> Any:
        """Return the critic as a function of x alone, (B, ...) -> (B,)."""
        return lambda x: self.judge(x, told)[0]

    def measure(self, batch: Any) -> dict[str, Tensor]:
        codes = self.draw(batch)
        told, fake = codes[:, self.latent :], self.generator(codes)
        (real, of_real), (made, of_fake) = self.judge(batch.x, told), self.judge(fake, told)
        found = {
            "real": real,
            "fake": made,
            "real shadow": sliced.shadows(batch.x),
            "fake shadow": sliced.shadows(fake),
        }
        if batch.x[0].numel() == 2:
            found |= {"real point": batch.x.flatten(1), "fake point": fake.flatten(1)}
        return found | self.guessed(of_real, of_fake, told)

    def guessed(self, of_real: Tensor, of_fake: Tensor, told: Tensor) -> dict[str, Tensor]:
        """Return by name how well the critic guesses, (B,) each."""
        return {}

    def score(self, measured: dict[str, Tensor]) -> dict[str, float]:
        real, fake = (measured[side].double() for side in SIDES)
        truth = torch.cat([torch.ones_like(real), torch.zeros_like(fake)])
        return {
            "loss": sliced.distance(measured["real shadow"], measured["fake shadow"]),
            **self.losses(real, fake),
            "gap": (real.mean() - fake.mean()).item(),
            "separation": metrics.auc(torch.cat([real, fake]), truth),
        } | {name: v.double().mean().item() for name, v in measured.items() if v.ndim == 1 and name not in SIDES}

    def losses(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """Return the losses of both players on a whole split, without the regularizer."""
        return {
            "critic_loss": self.objective.critic(real, fake).item(),
            "generator_loss": self.objective.generator(fake).item(),
        }

    def report(self, measured: dict[str, Tensor]) -> dict[str, Any]:
        outputs = {side: measured[side].float() for side in SIDES}
        found: dict[str, Any] = {"critic": figures.histograms("what the critic puts out", "output", outputs)}
        if "real point" in measured:
            points = torch.cat([measured[f"{side} point"] for side in SIDES])
            kinds = torch.arange(2).repeat_interleave(len(points) // 2)
            return found | {"points": figures.embedding(points, kinds, SIDES, title="real and generated points")}
        return found

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        return {"samples": self.sample(ROW * ROW, Prior()).clamp(0, 1)} if batch.x.dim() == 4 else {}

    def embed(self, batch: Any) -> Tensor:
        """Return the features by which the critic judges, (B, F)."""
        return self.critic.features(batch.x)  # type: ignore[operator, union-attr]

    def sample(self, n: int, sampler: Any) -> Tensor:
        samplers.refuse_label(sampler, self)
        return self.generate(sampler(n, self.latent))

    def generate(self, codes: Tensor) -> Tensor:
        """Return the examples that codes (n, Z + told) stand for."""
        device = next(self.generator.parameters()).device
        return torch.cat([self.generator(part.to(device)) for part in codes.split(AT_ONCE)])


def blurred(x: Tensor, std: float) -> Tensor:
    """Return examples with Gaussian noise."""
    return x + std * torch.randn_like(x) if std else x


def mixes(layer: nn.Module) -> bool:
    """Tell whether a layer lets the examples of a batch act on each other."""
    return isinstance(layer, nn.modules.batchnorm._BatchNorm) or getattr(layer, "mixes_examples", False)


def bounded(layer: nn.Module) -> bool:
    """Tell whether a layer's weights are divided by their largest singular value."""
    return nn.utils.parametrize.is_parametrized(layer)


def require_logits(critic: nn.Module) -> None:
    """Raise ConfigError for a critic that ends in a sigmoid."""
    last = [layer for layer in critic.modules() if not list(layer.children())][-1:]
    if last and isinstance(last[0], nn.Sigmoid):
        raise ConfigError(
            "the critic ends in a sigmoid, but its losses take the number before it, which has no bounds; "
            "leave that last layer out"
        )
