"""Which trials are compared: a method's with those of CT, or of a control, seed by seed."""

from nft_keras.data.io.fingerprint import differ
from nft_keras.experiments.methods import method_title

FOLD = "dataset.fold="  # what a trial of a recipe with folds varies


def baseline(results):
    """The name of the method that differences are to: `ct`, else the first that is CT under another; None if none is.

    Args:
        results: iterable of result.json contents.
    """
    names = [r["method"] for r in results if r.get("is", r["method"]) == "ct"]
    return "ct" if "ct" in names else next(iter(names), None)


def controls(results):
    """The names of the methods that are CT with another training than the baseline, in their order.

    Args:
        results: iterable of result.json contents.
    """
    names = dict.fromkeys(r["method"] for r in results if r.get("is", r["method"]) == "ct")
    return [name for name in names if name != baseline(results)]


def paired(results, name=None):
    """{(varied, classifier, method): [(result, that of CT with the same seed)]} of all methods but CT.

    CT is the `baseline`, or the method of the name. Two trained on data of different fingerprints are no pair.
    """
    name = name or baseline(results)
    classic, pairs = {}, {}
    for r in (r for r in results if r["method"] == name):
        classic.setdefault((r.get("varied", ""), r["classifier"], r["seed"]), []).append(r)
    for r in (r for r in results if r["method"] != name):
        own, of_recipe = ((varied, r["classifier"], r["seed"]) for varied in (r.get("varied", ""), ""))
        there = classic.get(own, classic.get(of_recipe, ()))
        ct = next((each for each in there if not differ(r.get("fingerprint"), each.get("fingerprint"))), None)
        if ct is not None:
            pairs.setdefault((variation(r), r["classifier"], r["method"]), []).append((r, ct))
    return pairs


def paired_with_control(results, control):
    """The pairs of `paired` with a control in place of CT, of methods that are not CT under any name."""
    kinds = {r["method"]: r.get("is", r["method"]) for r in results}
    return {key: of for key, of in paired(results, control).items() if kinds[key[-1]] != "ct"}


def differences_to_classic(results):
    """The differences of test errors to CT, seed by seed, of what `against_classic` has rows of; none over folds.

    Args:
        results: list of result.json contents.

    Returns:
        {(what tells it from others, method, title of CT): list of float in points}.
    """
    if taken_over(results) != "seeds":
        return {}
    pairs, classic = paired(results), method_title(baseline(results) or "ct")
    several = len({(varied, classifier) for varied, classifier, _ in pairs}) > 1
    return {
        (f"{' '.join(filter(None, (varied, classifier)))}: " if several else "", method, classic): differences(
            errors_of(of, "test_error")
        )
        for (varied, classifier, method), of in pairs.items()
    }


def differences_to_controls(results):
    """{as `differences_to_classic` has: {title of a control: differences to it, seed by seed}}."""
    found = {}
    for (where, method, classic), key in zip(differences_to_classic(results), paired(results), strict=False):
        of_controls = {method_title(name): paired_with_control(results, name).get(key) for name in controls(results)}
        found[where, method, classic] = {
            title: differences(errors_of(of, "test_error")) for title, of in of_controls.items() if of
        }
    return found


def differences(pairs, how=".2f"):
    """The differences of pairs of errors, without what rounding to binary fractions adds to them."""
    return [round(ours - ct, 4) if how == ".2f" else ours - ct for ours, ct in pairs]


def errors_of(pairs, name):
    """An error of each pair's two trials."""
    return [(ours[name], ct[name]) for ours, ct in pairs]


def variation(result):
    """ "key=value" of what a recipe varies, "" of nothing and of its folds, which are taken together."""
    varied = result.get("varied", "")
    return "" if varied.startswith(FOLD) else varied


def taken_over(results):
    """What means are over."""
    return "folds and seeds" if any(result.get("varied", "").startswith(FOLD) for result in results) else "seeds"
