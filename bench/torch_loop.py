"""Classic training, NFT, FT and EEF as plain PyTorch eager loops, written from the paper (Marullo et al. 2022).

What anybody would write at first: `loss.backward()`, then the optimizer of the network whose turn it is. With
`careful=True` the loop of NFT does by hand what the plain one leaves out: it computes no gradient that it throws away.
"""

import contextlib

import torch
from torch.nn import functional


class Loop:
    """A classifier, for NFT an auxiliary network, and their optimizers: Adam, weight decay as L2 in the gradient.

    Args:
        classifier, auxiliary: modules; auxiliary may be None.
        learning_rate, weight_decay: floats, of both optimizers.
        eta: float, weight of the penalty, the mean of delta^2 over the batch and the input's elements.
        precision: "float32", or "mixed_bfloat16" for autocast.
        careful: bool, whether gradients of the fixed network are left out.
    """

    def __init__(
        self,
        classifier,
        auxiliary=None,
        learning_rate=1e-4,
        weight_decay=1e-4,
        eta=1.0,
        precision="float32",
        careful=False,
    ):
        self.classifier, self.auxiliary, self.eta, self.careful = classifier, auxiliary, eta, careful
        settings = {"lr": learning_rate, "weight_decay": weight_decay}
        self.of_w = torch.optim.Adam(classifier.parameters(), **settings)
        self.of_theta = torch.optim.Adam(auxiliary.parameters(), **settings) if auxiliary else None
        self.autocast = contextlib.nullcontext
        if precision == "mixed_bfloat16":
            self.autocast = lambda: torch.autocast("cpu", dtype=torch.bfloat16)

    def classic_step(self, x, y):
        """w on the loss of f(x); returns the loss, as all the steps do."""
        self.classifier.train()
        with self.autocast():
            loss = functional.cross_entropy(self.classifier(x).float(), y)
        return self._update(self.of_w, loss)

    def first_step(self, x, y):
        """theta on Eq. 4, the classifier in inference mode."""
        self.auxiliary.train()
        self.classifier.eval()
        with self._fixed(self.classifier), self.autocast():
            simplified = self._simplified(x, y)
            loss = functional.cross_entropy(self.classifier(simplified).float(), y)
            loss = loss + self.eta * (simplified.float() - x).square().mean()
        return self._update(self.of_theta, loss)

    def second_step(self, x, y):
        """w on the loss of f(s(x)), the auxiliary network in inference mode."""
        self.auxiliary.eval()
        self.classifier.train()
        with self.autocast():
            with torch.no_grad() if self.careful else contextlib.nullcontext():
                simplified = self._simplified(x, y)
            loss = functional.cross_entropy(self.classifier(simplified).float(), y)
        return self._update(self.of_w, loss)

    def friendly_step(self, x, y, max_steps, step, confidence):
        """FT: the batch is regrouped at every step of the perturbation, so that only unsure examples are in it."""
        self.classifier.eval()
        delta = torch.zeros_like(x)
        unsure = torch.arange(len(x))
        for _ in range(max_steps):
            perturbed = (x[unsure] + delta[unsure]).requires_grad_()
            logits = self.classifier(perturbed)
            best, label = logits.detach().softmax(1).max(1)
            left = ~((label == y[unsure]) & (best > confidence))
            if not left.any():
                break
            self.of_w.zero_grad()
            functional.cross_entropy(logits[left], y[unsure][left]).backward()
            unsure = unsure[left]
            delta[unsure] -= step * perturbed.grad[left]
        return self.classic_step(x + delta, y)

    @torch.no_grad()
    def easiest(self, x, y, count, batch_size=250):
        """EEF: indices of the `count` examples with the lowest loss."""
        self.classifier.eval()
        losses = [
            functional.cross_entropy(self.classifier(a), b, reduction="none")
            for a, b in zip(x.split(batch_size), y.split(batch_size), strict=True)
        ]
        return torch.cat(losses).argsort()[:count]

    def _simplified(self, x, y):
        return self.auxiliary(x, y) if getattr(self.auxiliary, "label_conditioned", False) else self.auxiliary(x)

    @contextlib.contextmanager
    def _fixed(self, network):
        """Without gradients of the network's weights, if the loop is a careful one."""
        network.requires_grad_(not self.careful)
        yield
        network.requires_grad_(True)

    def _update(self, optimizer, loss):
        for network in (self.classifier, self.auxiliary):
            if network is not None:
                network.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()
