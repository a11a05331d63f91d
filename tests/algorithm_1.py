"""Algorithm 1 of Marullo et al. (2022) in NumPy float64 for two small dense networks: the independent computation."""

import numpy as np


class Dense:
    """x -> tanh(x W1 + b1) W2 + b2, with its gradient and Adam (Kingma and Ba 2015; Keras' epsilon) by hand."""

    def __init__(self, weights, learning_rate):
        self.weights = [w.astype("float64") for w in weights]
        self.moments = [[np.zeros_like(w), np.zeros_like(w)] for w in self.weights]
        self.learning_rate = learning_rate
        self.t = 0

    def forward(self, x):
        w1, b1, w2, b2 = self.weights
        hidden = np.tanh(x @ w1 + b1)
        return hidden @ w2 + b2, (x, hidden)

    def backward(self, cache, gradient):
        """Gradients of the weights and of the input, from the gradient of the output."""
        w1, _, w2, _ = self.weights
        x, hidden = cache
        inner = gradient @ w2.T * (1 - hidden**2)
        return [x.T @ inner, inner.sum(0), hidden.T @ gradient, gradient.sum(0)], inner @ w1.T

    def update(self, gradients):
        self.t += 1
        for w, g, moments in zip(self.weights, gradients, self.moments, strict=True):
            moments[0] = 0.9 * moments[0] + 0.1 * g
            moments[1] = 0.999 * moments[1] + 0.001 * g**2
            first, second = moments[0] / (1 - 0.9**self.t), moments[1] / (1 - 0.999**self.t)
            w -= self.learning_rate * first / (np.sqrt(second) + 1e-7 / np.sqrt(1 - 0.999**self.t))


def cross_entropy(logits, y):
    """Mean cross-entropy and its gradient with respect to the logits."""
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    n = len(y)
    loss = -np.log(p[np.arange(n), y]).mean()
    p[np.arange(n), y] -= 1
    return loss, p / n


def friendly_training(classifier, auxiliary, x, y, batch_size, epochs, simplification_epochs, eta_max, penalty, phases):
    """Runs Algorithm 1 on unshuffled minibatches; the two networks are changed in place.

    Returns:
        {"auxiliary_loss": [...], "perturbation": [...], "loss": [...]}, a value per epoch.
    """
    history = {"auxiliary_loss": [], "perturbation": [], "loss": []}
    elements = x.shape[1] if penalty == "mean" else 1
    starts = range(0, len(x), batch_size)

    def gradients(xb, yb, eta):
        simplified, auxiliary_cache = auxiliary.forward(xb)
        logits, cache = classifier.forward(simplified)
        loss, gradient = cross_entropy(logits, yb)
        of_w, of_simplified = classifier.backward(cache, gradient)
        delta = simplified - xb
        penalty_value = (delta**2).sum(1).mean() / elements
        of_simplified = of_simplified + eta * 2 * delta / (len(xb) * elements)
        of_theta, _ = auxiliary.backward(auxiliary_cache, of_simplified)
        return of_w, of_theta, loss, loss + eta * penalty_value

    for gamma in range(1, epochs + 1):
        active = 1 < gamma <= simplification_epochs
        eta = eta_max * (1 - max(1 - (gamma - 1) / (simplification_epochs - 1), 0) ** 2)
        sums = {"auxiliary_loss": 0.0, "perturbation": 0.0, "loss": 0.0}

        def first_phase(start, eta=eta, sums=sums):
            xb, yb = x[start : start + batch_size], y[start : start + batch_size]
            _, of_theta, _, eq_4 = gradients(xb, yb, eta)
            auxiliary.update(of_theta)
            sums["auxiliary_loss"] += eq_4 * len(xb)

        def second_phase(start, active=active, sums=sums):
            xb, yb = x[start : start + batch_size], y[start : start + batch_size]
            simplified = auxiliary.forward(xb)[0] if active else xb
            logits, cache = classifier.forward(simplified)
            loss, gradient = cross_entropy(logits, yb)
            classifier.update(classifier.backward(cache, gradient)[0])
            sums["loss"] += loss * len(xb)
            sums["perturbation"] += ((simplified - xb) ** 2).sum()

        def both(start, eta=eta, sums=sums):
            xb, yb = x[start : start + batch_size], y[start : start + batch_size]
            of_w, of_theta, loss, eq_4 = gradients(xb, yb, eta)
            sums["perturbation"] += ((auxiliary.forward(xb)[0] - xb) ** 2).sum()
            auxiliary.update(of_theta)
            classifier.update(of_w)
            sums["loss"] += loss * len(xb)
            sums["auxiliary_loss"] += eq_4 * len(xb)

        if active and phases == "epoch":
            for start in starts:
                first_phase(start)
        for start in starts:
            if active and phases == "joint":
                both(start)
                continue
            if active and phases == "batch":
                first_phase(start)
            second_phase(start)
        for name in history:
            history[name].append(sums[name] / len(x))
    return history
