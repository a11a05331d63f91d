"""Algorithm 1 of Marullo et al. (2022) in NumPy float64 for two small dense networks: the independent computation."""

import numpy as np

MOMENTUM, EPSILON = 0.9, 1e-3  # of batch normalization


class Dense:
    """x -> B(tanh(x W1 + b1)) W2 + b2, with its gradient and Adam (Kingma and Ba 2015; Keras' epsilon) by hand.

    B is batch normalization (Ioffe and Szegedy 2015) where `weights` has eight arrays, in Keras' order: W1, b1, gamma,
    beta, moving mean, moving variance, W2, b2; with the four of W1, b1, W2, b2 it is the identity.
    """

    def __init__(self, weights, learning_rate):
        self.weights = [w.astype("float64") for w in weights]
        self.batch_norm = len(weights) == 8
        self.trainable = [w for i, w in enumerate(self.weights) if not (self.batch_norm and i in (4, 5))]
        self.moments = [[np.zeros_like(w), np.zeros_like(w)] for w in self.trainable]
        self.learning_rate = learning_rate
        self.t = 0

    def forward(self, x, training=False):
        """Outputs and what `backward` needs; in training mode the moving statistics move."""
        hidden = np.tanh(x @ self.weights[0] + self.weights[1])
        normal, deviation = hidden, None
        if self.batch_norm:
            gamma, beta, *moving = self.weights[2:6]
            now = (hidden.mean(0), hidden.var(0)) if training else tuple(moving)
            deviation = np.sqrt(now[1] + EPSILON)
            normal = (hidden - now[0]) / deviation
            if training:
                for average, value in zip(moving, now, strict=True):
                    average *= MOMENTUM
                    average += (1 - MOMENTUM) * value
            inner = normal * gamma + beta
        else:
            inner = hidden
        return inner @ self.weights[-2] + self.weights[-1], (x, hidden, normal, deviation, inner, training)

    def backward(self, cache, gradient):
        """Gradients of the trainable weights and of the input, from the gradient of the output."""
        x, hidden, normal, deviation, inner, training = cache
        of_output = [inner.T @ gradient, gradient.sum(0)]
        gradient = gradient @ self.weights[-2].T
        of_batch_norm = []
        if self.batch_norm:
            of_batch_norm = [(gradient * normal).sum(0), gradient.sum(0)]
            gradient = gradient * self.weights[2]
            if training:
                gradient = gradient - gradient.mean(0) - normal * (gradient * normal).mean(0)
            gradient = gradient / deviation
        gradient = gradient * (1 - hidden**2)
        return [x.T @ gradient, gradient.sum(0), *of_batch_norm, *of_output], gradient @ self.weights[0].T

    def update(self, gradients):
        self.t += 1
        for w, g, moments in zip(self.trainable, gradients, self.moments, strict=True):
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


def friendly_training(
    classifier,
    auxiliary,
    x,
    y,
    batch_size,
    epochs,
    simplification_epochs,
    eta_max,
    penalty,
    phases,
    first_simplified_epoch=2,
    classifier_mode="inference",
    sampled=lambda gamma, start: True,
):
    """Runs Algorithm 1 on unshuffled minibatches; the two networks are changed in place.

    `sampled` says whether theta is updated in epoch gamma on the minibatch that begins with an example, with
    phases="epoch".

    Returns:
        {"auxiliary_loss": [...], "perturbation": [...], "relative_perturbation": [...], "loss": [...]}, a value per
        epoch.
    """
    history = {"auxiliary_loss": [], "perturbation": [], "relative_perturbation": [], "loss": []}
    elements = x.shape[1] if penalty == "mean" else 1
    starts = range(0, len(x), batch_size)

    def gradients(xb, yb, eta, training):
        simplified, auxiliary_cache = auxiliary.forward(xb)
        logits, cache = classifier.forward(simplified, training)
        loss, gradient = cross_entropy(logits, yb)
        of_w, of_simplified = classifier.backward(cache, gradient)
        delta = simplified - xb
        penalty_value = (delta**2).sum(1).mean() / elements
        of_simplified = of_simplified + eta * 2 * delta / (len(xb) * elements)
        of_theta, _ = auxiliary.backward(auxiliary_cache, of_simplified)
        return of_w, of_theta, loss, loss + eta * penalty_value

    for gamma in range(1, epochs + 1):
        active = first_simplified_epoch <= gamma <= simplification_epochs
        updated = active and gamma > 1
        eta = eta_max * (1 - max(1 - (gamma - 1) / (simplification_epochs - 1), 0) ** 2)
        sums = {"auxiliary_loss": 0.0, "perturbation": 0.0, "loss": 0.0}
        of_theta = [start for start in starts if phases != "epoch" or sampled(gamma, start)]
        seen = sum(len(x[start : start + batch_size]) for start in of_theta)

        def first_phase(start, eta=eta, sums=sums):
            xb, yb = x[start : start + batch_size], y[start : start + batch_size]
            _, of_theta, _, eq_4 = gradients(xb, yb, eta, classifier_mode == "training")
            auxiliary.update(of_theta)
            sums["auxiliary_loss"] += eq_4 * len(xb)

        def second_phase(start, active=active, sums=sums):
            xb, yb = x[start : start + batch_size], y[start : start + batch_size]
            simplified = auxiliary.forward(xb)[0] if active else xb
            logits, cache = classifier.forward(simplified, True)
            loss, gradient = cross_entropy(logits, yb)
            classifier.update(classifier.backward(cache, gradient)[0])
            sums["loss"] += loss * len(xb)
            sums["perturbation"] += ((simplified - xb) ** 2).sum()

        def both(start, eta=eta, sums=sums):
            xb, yb = x[start : start + batch_size], y[start : start + batch_size]
            of_w, of_theta, loss, eq_4 = gradients(xb, yb, eta, True)
            sums["perturbation"] += ((auxiliary.forward(xb)[0] - xb) ** 2).sum()
            auxiliary.update(of_theta)
            classifier.update(of_w)
            sums["loss"] += loss * len(xb)
            sums["auxiliary_loss"] += eq_4 * len(xb)

        if updated and phases == "epoch":
            for start in of_theta:
                first_phase(start)
        for start in starts:
            if updated and phases == "joint":
                both(start)
                continue
            if updated and phases == "batch":
                first_phase(start)
            second_phase(start)
        for name, total in sums.items():
            history[name].append(total / (max(seen, 1) if name == "auxiliary_loss" else len(x)))
        history["relative_perturbation"].append(sums["perturbation"] / x.size / x.var())
    return history
